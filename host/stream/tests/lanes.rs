//! Lanes and the producer against a real broker. Each test has topics and groups of its own.

mod support;

mod lanes {
    mod halting;
    mod panicking;
    mod publishing;
    mod ranges;
    mod reading;
    mod sharing;
    mod starting;
    mod stopping;
    mod topics;
}
