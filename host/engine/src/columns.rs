//! The tables of the contract as they cross into a module. The generated types would do the same; these spare the calls
//! by which a module makes room for columns that are empty, which is most of what a call about one click costs.
#![allow(unsafe_code, reason = "wasmtime's traits for what crosses are unsafe, derived or not")]

use std::mem::MaybeUninit;

use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext,
};
use wasmtime::component::{ComponentType, Lower};

/// A column of a table.
pub(crate) struct Column<'a, T>(pub(crate) &'a [T]);

// SAFETY: it is what a slice is, in size, representation and type.
unsafe impl<T: ComponentType> ComponentType for Column<'_, T> {
    type Lower = <[T] as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <[T] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        <[T] as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: everything but an empty column is lowered as a slice is. The place of an empty one is never read; like the
// one that a module itself would give it, it is aligned and not zero.
unsafe impl<T: Lower> Lower for Column<'_, T> {
    fn linear_lower_to_flat<U>(
        &self,
        cx: &mut LowerContext<'_, U>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> wasmtime::Result<()> {
        self.0.linear_lower_to_flat(cx, ty, dst)
    }

    #[inline]
    fn linear_lower_to_memory<U>(
        &self,
        cx: &mut LowerContext<'_, U>,
        ty: InterfaceType,
        offset: usize,
    ) -> wasmtime::Result<()> {
        if !self.0.is_empty() {
            return self.0.linear_lower_to_memory(cx, ty, offset);
        }
        T::ALIGN32.linear_lower_to_memory(cx, InterfaceType::U32, offset)?;
        0_u32.linear_lower_to_memory(cx, InterfaceType::U32, offset + 4)
    }
}

/// Writes a table of the contract: its columns in their order, each with its name there.
macro_rules! table {
    ($table:ident { $($column:ident: $name:literal, $element:ty;)+ }) => {
        #[derive(ComponentType, Lower)]
        #[component(record)]
        pub(crate) struct $table<'a> {
            $(
                #[component(name = $name)]
                pub(crate) $column: Column<'a, $element>,
            )+
        }
    };
}

table!(Campaigns {
    id: "id", u32;
    advertiser: "advertiser", u32;
    stored_price_micros: "stored-price-micros", i64;
    cached_price_micros: "cached-price-micros", i64;
    balance_micros: "balance-micros", i64;
});

table!(Clicks {
    campaign: "campaign", u32;
    occurred_at_ms: "occurred-at-ms", u64;
    bid_micros: "bid-micros", i64;
    actual_micros: "actual-micros", i64;
    placement: "placement", u8;
    local_minute: "local-minute", u16;
    weekday: "weekday", u8;
    category: "category", u32;
    search_term: "search-term", u32;
    device: "device", u32;
    ad: "ad", u32;
    product: "product", u32;
});

table!(CampaignDays {
    campaign: "campaign", u32;
    day: "day", i32;
    daily_budget_micros: "daily-budget-micros", i64;
    spent_micros: "spent-micros", i64;
    counter_micros: "counter-micros", i64;
    warned_ppm: "warned-ppm", u32;
    pause_from_micros: "pause-from-micros", i64;
    state: "state", u8;
});

table!(Movements {
    campaign_day: "campaign-day", u32;
    amount_micros: "amount-micros", i64;
});

table!(Compensations {
    campaign_day: "campaign-day", u32;
    claimed_micros: "claimed-micros", i64;
    duplicate_count: "duplicate-count", u32;
    timestamp_count: "timestamp-count", u32;
    refundable_micros: "refundable-micros", i64;
    matched_micros: "matched-micros", i64;
    matched_count: "matched-count", u32;
    matched_refunded_micros: "matched-refunded-micros", i64;
    matched_generation: "matched-generation", u64;
    clicks_complete: "clicks-complete", u8;
    device: "device", u32;
    ad: "ad", u32;
});
