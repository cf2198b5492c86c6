//! A short campaign of random faults; `cargo xtask chaos` has the long ones.

use std::time::Duration;

use tests::chaos::campaign::{LOG_ENTRIES, Settings, run};

#[test]
fn a_short_campaign_of_faults_breaks_no_promise() {
    let settings = Settings {
        seed: 20,
        length: Duration::from_secs(20),
        nodes: 3,
        clients: 6,
        rate: 300,
        only: None,
        log_entries: LOG_ENTRIES.into(),
    };
    let outcome = run(&settings, &|event| eprintln!("{event}"));
    eprintln!("{}", outcome.report);
    assert!(outcome.report.violations.is_empty(), "seed {}: see above, and {:?}", settings.seed, outcome.evidence);
    assert!(outcome.report.stored > 0 && !outcome.report.faults.is_empty(), "nothing was tried");
}
