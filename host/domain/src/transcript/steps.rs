//! Columns whose neighbours are close are kept as the steps between them, which are short numbers.

macro_rules! steps {
    ($name:ident, $number:ty, $step:ty) => {
        pub(crate) mod $name {
            use serde::{Deserialize as _, Deserializer, Serializer};

            pub(crate) fn serialize<S: Serializer>(
                column: &[$number],
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let mut last: $number = 0;
                serializer.collect_seq(column.iter().map(|value| {
                    let step = value.wrapping_sub(last) as $step;
                    last = *value;
                    step
                }))
            }

            pub(crate) fn deserialize<'d, D: Deserializer<'d>>(
                deserializer: D,
            ) -> Result<Vec<$number>, D::Error> {
                let mut last: $number = 0;
                let steps = Vec::<$step>::deserialize(deserializer)?;
                Ok(steps
                    .into_iter()
                    .map(|step| {
                        last = last.wrapping_add(step as $number);
                        last
                    })
                    .collect())
            }
        }
    };
}

steps!(signed, i64, i64);
steps!(unsigned, u64, i64);
steps!(unsigned_short, u32, i32);
