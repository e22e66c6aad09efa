//! Warnings in the log and metrics about a certificate that has expired or soon will, and about a
//! key that others can read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use local_servers::{Certificate as Files, Written};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::super::{Tls, show_end};
use super::{used, written};
use crate::clock::FixedClock;

/// A certificate in files with a clock, and the log.
struct Site {
    files: Files,
    clock: Arc<FixedClock>,
    log: Written,
}

fn day(number: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(number)
}

impl Site {
    /// The certificate is valid between these days, and it is day 100. Only the owner reads the
    /// key.
    fn valid(from: u64, until: u64) -> Self {
        let clock = FixedClock::at(day(100));
        let site = Self { files: Files::for_localhost(), clock, log: Written::default() };
        site.renew(from, until);
        site.set_mode(0o600);
        site
    }

    fn renew(&self, from: u64, until: u64) {
        let seconds = |day: u64| day * 24 * 60 * 60;
        self.files.renew_valid(seconds(from), seconds(until));
    }

    fn set_mode(&self, mode: u32) {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.files.key_file(), permissions).unwrap();
    }

    fn read(&self) -> Tls {
        let (file, key) = (self.files.file(), self.files.key_file());
        self.logged(|| Tls::read_at(&file, &key, self.clock.clone()).unwrap())
    }

    /// Looks at the files as the watch does. Returns why they are not used.
    fn look(&self, tls: &Tls) -> Option<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        self.logged(|| {
            let looked = runtime.block_on(tls.certificate.watch());
            looked.err().map(|error| error.to_string())
        })
    }

    fn logged<T>(&self, work: impl FnOnce() -> T) -> T {
        let log = self.log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || log.clone()).finish();
        tracing::subscriber::with_default(subscriber, work)
    }

    /// How often the log says this.
    fn said(&self, words: &str) -> usize {
        self.log.text().lines().filter(|line| line.contains("WARN") && line.contains(words)).count()
    }
}

#[test]
fn dates_that_are_no_good_are_warned_of_at_the_start_and_once_a_day() {
    for (from, until, words) in [
        (10, 90, "TLS_CERTIFICATE: it has expired"),
        (10, 113, "TLS_CERTIFICATE: it expires soon"),
        (130, 300, "TLS_CERTIFICATE: it is not valid yet"),
    ] {
        let site = Site::valid(from, until);
        let tls = site.read();
        assert_eq!(site.said(words), 1, "at the start: {}", site.log.text());
        assert!(site.log.text().contains(&day(until.try_into().unwrap()).to_rfc3339()));
        for (hours, times) in [(1, 1), (23, 1), (24, 2), (25, 2), (48, 3)] {
            site.clock.set(day(100) + TimeDelta::hours(hours));
            assert_eq!(site.look(&tls), None, "it stays in use");
            assert_eq!(site.said(words), times, "after {hours} hours: {}", site.log.text());
        }
        site.renew(10, 300);
        let before = site.said("");
        assert_eq!(site.look(&tls), None);
        assert_eq!(used(&tls), written(&site.files));
        site.clock.set(day(110));
        site.look(&tls);
        assert_eq!(site.said(""), before, "a good one is not warned of: {}", site.log.text());
    }
}

#[test]
fn a_certificate_becomes_old_while_it_is_in_use() {
    let site = Site::valid(10, 300);
    let tls = site.read();
    assert_eq!(site.said(""), 0, "{}", site.log.text());
    site.clock.set(day(290));
    site.look(&tls);
    assert_eq!(site.said("it expires soon"), 1, "{}", site.log.text());
    site.clock.set(day(301));
    site.look(&tls);
    assert_eq!(site.said("it has expired"), 1, "{}", site.log.text());
}

#[test]
fn an_expired_or_early_certificate_does_not_take_the_place_of_a_better_one() {
    let site = Site::valid(10, 300);
    let tls = site.read();
    let good = used(&tls);
    site.renew(10, 90);
    let refused = site.look(&tls).unwrap();
    let at = day(90);
    assert!(refused.contains(&format!("expired at {at}; the one in use is newer")), "{refused}");
    assert_eq!(used(&tls), good);
    site.renew(110, 400);
    let refused = site.look(&tls).unwrap();
    assert!(refused.contains(&format!("not valid before {}", day(110))), "{refused}");
    assert_eq!(used(&tls), good);
    // It takes its place when its time has come.
    site.clock.set(day(110));
    assert_eq!(site.look(&tls), None);
    assert_eq!(used(&tls), written(&site.files));
}

#[test]
fn of_two_expired_certificates_the_newer_one_is_used() {
    let site = Site::valid(10, 80);
    let tls = site.read();
    let first = used(&tls);
    site.renew(10, 70);
    assert!(site.look(&tls).is_some());
    assert_eq!(used(&tls), first);
    site.renew(10, 90);
    assert_eq!(site.look(&tls), None);
    assert_eq!(used(&tls), written(&site.files));
}

#[test]
fn a_key_that_others_come_to_have_access_to_is_warned_of_as_at_the_start() {
    const EVERYBODY: &str = "TLS_KEY: every user of this machine has access to it";
    let site = Site::valid(10, 300);
    let tls = site.read();
    site.look(&tls);
    assert_eq!(site.said(EVERYBODY), 0, "{}", site.log.text());
    site.set_mode(0o644);
    site.look(&tls);
    assert_eq!(site.said(EVERYBODY), 1, "the reload sees it: {}", site.log.text());
    site.look(&tls);
    assert_eq!(site.said(EVERYBODY), 1, "once a day: {}", site.log.text());
    site.set_mode(0o600);
    site.look(&tls);
    site.set_mode(0o602);
    site.look(&tls);
    assert_eq!(site.said(EVERYBODY), 2, "it happened again: {}", site.log.text());
    let _at_start = site.read();
    assert_eq!(site.said(EVERYBODY), 3);
}

#[test]
fn the_gauge_shows_when_the_first_certificate_expires() {
    let (site, other) = (Site::valid(10, 300), Site::valid(10, 200));
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let ports = [site.read(), other.read()];
    metrics::with_local_recorder(&recorder, || show_end(&ports));
    let line = format!("tls_certificate_expires_at_seconds {}", day(200).timestamp());
    assert!(metrics.render().contains(&line), "{}", metrics.render());
}
