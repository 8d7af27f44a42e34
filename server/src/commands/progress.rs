//! What a person at a terminal sees while a command takes its time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::world::World;

/// Shows that `what` is being done, from the second second on and with how far it is where that can be told, until `work`
/// is done. Nothing is shown where standard error is no terminal; without colours where `NO_COLOR` is set.
pub(super) async fn during<T>(
    world: &World,
    what: &'static str,
    how_far: impl Fn() -> Option<(u64, u64)>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    let start = world.now();
    let mut shown: Option<ProgressBar> = None;
    loop {
        tokio::select! {
            done = &mut work => {
                if let Some(bar) = shown {
                    bar.finish_and_clear();
                }
                return done;
            }
            () = world.sleep_until(world.now() + Duration::from_millis(100)) => {}
        }
        let now = world.now();
        let took = now.since(start);
        if took < Duration::from_secs(1) {
            continue;
        }
        let bar = shown.get_or_insert_with(|| begin(what, took));
        if let Some((done, all)) = how_far() {
            bar.set_length(all.max(done));
            bar.set_position(done);
            if let Ok(style) = ProgressStyle::with_template(
                "{spinner} {msg} {bar:30} {bytes}/{total_bytes} {elapsed}",
            ) {
                bar.set_style(style);
            }
        }
        bar.tick();
    }
}

fn begin(what: &'static str, took: Duration) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what).with_elapsed(took);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar
}
