//! The statements of `config/flink` on a real Flink: small tables of events in, what stands in Redis, Postgres and Kafka
//! out. One cluster runs them all; every case has campaigns, devices and categories of its own.

mod attribution;
mod duplicates;
mod performance;
mod ranking;
mod unusable;
mod world;

use tollgate_tests::servers::flink::statements::Statement;
use world::World;

#[test]
fn statements_give_what_the_tables_say() {
    let mut world = World::start();
    for feed in
        [unusable::feed, ranking::feed, performance::feed, attribution::feed, duplicates::feed]
    {
        feed(&mut world);
    }
    world.submit();
    world.let_time_pass_until(40);
    for check in
        [ranking::check, performance::check, attribution::check, duplicates::check, unusable::check]
    {
        check(&world);
    }
    ranking::late_events_win_only_when_they_are_newer(&mut world);
    ranking::changes_wait_while_redis_is_away(&mut world);

    // Whoever is ahead of the time makes nobody late.
    duplicates::feed_beside_events_ahead(&mut world);

    // Clicks and conversions that a killed cluster has read and not finished are finished by the next one, once.
    attribution::feed_half(&mut world);
    duplicates::feed_half(&mut world);
    ranking::feed_ahead(&world);
    world.flink.wait_checkpoints(&Statement::ALL).unwrap();
    world.flink.kill();
    attribution::feed_other_half(&mut world);
    duplicates::feed_other_half(&mut world);
    ranking::feed_behind(&world);
    world.flink.restart().unwrap();
    world.submit();
    world.run_ahead_with_campaigns();
    world.let_time_pass_until(60);
    attribution::check_halves(&world);
    duplicates::check_halves(&world);
    duplicates::check_beside_events_ahead(&world);
    ranking::check_ahead(&world);

    ranking::events_of_tomorrow_wait(&world);

    // Whoever loses all checkpoints reads everything again, and nothing changes.
    let before = world.results();
    let emitted = duplicates::emitted(&world).len();
    for statement in Statement::ALL {
        world.flink.cancel(statement).unwrap();
    }
    world.flink.submit_afresh(&Statement::ALL).unwrap();
    world.wait_for("compensations that come again", 2 * emitted, |world| {
        duplicates::emitted(world).len()
    });
    world.wait_for("the same results", before, World::results);
    duplicates::check_identities(&world);
}
