//! Where a call spends its fuel. The engine stops at every function entry and every turn of a loop and looks at the
//! stack, so a profile is exact to those points, complete, and the same on any machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tollgate_domain::facts::{PricingFacts, RefundColumns, ThresholdFacts};
use tollgate_domain::notice::Happening;
use tollgate_domain::rule::RuleError;
use wasmtime::component::{ComponentNamedList, Lift, Lower};
use wasmtime::{AsContext, StoreContextMut, UpdateDeadline, WasmBacktrace};

use crate::convert::{self, WireDecisions, WireMessages, WireQuotes, WireVerdicts};
use crate::module::{self, Host};
use crate::rule::Rule;

/// What a rule is asked, by world.
#[derive(Clone, Copy, Debug)]
pub enum Question<'f> {
    Price(&'f PricingFacts),
    Judge(&'f ThresholdFacts),
    Decide(&'f RefundColumns),
    Compose(&'f [Happening]),
}

/// The fuel of one call by stacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Functions from the outermost to the innermost, as the module names them, and the fuel spent there.
    pub stacks: Vec<(Vec<String>, u64)>,
    /// All of the call's fuel, which is the sum of the stacks'.
    pub fuel: u64,
}

impl Rule {
    /// Asks on a fresh instance as always, only slower, and says where the fuel went.
    ///
    /// # Errors
    /// As the calls themselves.
    pub fn profile(&self, question: Question<'_>) -> Result<Profile, RuleError> {
        let params = self.params.as_slice();
        match question {
            Question::Price(facts) => {
                let texts = convert::texts(&facts.texts);
                let arguments = convert::price_arguments(params, &texts, facts);
                profile::<_, WireQuotes>(self, facts.clicks.len(), arguments)
            }
            Question::Judge(facts) => {
                let texts = convert::texts(&facts.texts);
                let arguments = convert::judge_arguments(params, &texts, facts);
                profile::<_, WireVerdicts>(self, facts.movements.campaign_day.len(), arguments)
            }
            Question::Decide(facts) => {
                let texts = convert::texts(&facts.texts);
                let arguments = convert::decide_arguments(params, &texts, facts);
                let rows = facts.compensations.campaign_day.len();
                profile::<_, WireDecisions>(self, rows, arguments)
            }
            Question::Compose(happenings) => {
                let wire = convert::happenings(happenings);
                let arguments: convert::ComposeArguments<'_> = (params, &wire);
                profile::<_, WireMessages>(self, happenings.len(), arguments)
            }
        }
    }
}

fn profile<P, R>(rule: &Rule, rows: usize, arguments: P) -> Result<Profile, RuleError>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let module = rule.module();
    let description = module.description();
    let per_rows = description.fuel_per_item.saturating_mul(rows as u64);
    let given = description.fuel_base.saturating_add(per_rows);
    let spent = Arc::new(Mutex::new(Spent { left: given, ..Spent::default() }));
    let looked = Arc::clone(&spent);
    let mut store = module::store(&module.shared, given)?;
    store.set_epoch_deadline(0);
    store.epoch_deadline_callback(move |context: StoreContextMut<'_, Host>| {
        let mut spent = looked.lock().unwrap_or_else(PoisonError::into_inner);
        spent.charge(context.get_fuel()?);
        spent.stack = stack(&context);
        Ok(UpdateDeadline::Continue(0))
    });
    module::call::<P, R>(&mut store, &module.pre, &module.function, arguments)?;
    let left = store.get_fuel().unwrap_or(0);
    drop(store);
    let mut spent = spent.lock().unwrap_or_else(PoisonError::into_inner);
    spent.charge(left);
    let stacks = std::mem::take(&mut spent.by_stack).into_iter().collect();
    Ok(Profile { stacks, fuel: given - left })
}

/// Fuel between two looks belongs to the stack of the first one. What a loop without calls spends is known at its end,
/// and its turns have the same stack.
#[derive(Default)]
struct Spent {
    left: u64,
    stack: Vec<String>,
    by_stack: BTreeMap<Vec<String>, u64>,
}

impl Spent {
    fn charge(&mut self, left: u64) {
        let spent = self.left.saturating_sub(left);
        self.left = left;
        if spent > 0 {
            *self.by_stack.entry(self.stack.clone()).or_default() += spent;
        }
    }
}

fn stack(context: impl AsContext) -> Vec<String> {
    let backtrace = WasmBacktrace::force_capture(context);
    let name = |frame: &wasmtime::FrameInfo| {
        let index = frame.func_index();
        frame.func_name().map_or_else(|| format!("function {index}"), str::to_owned)
    };
    backtrace.frames().iter().rev().map(name).collect()
}
