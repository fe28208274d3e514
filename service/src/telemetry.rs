//! Logs and metrics of a process.

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// The latency of requests, by method, route and status.
pub const REQUEST_SECONDS: &str = "roundtable_http_request_seconds";

/// From half a millisecond, a cache hit, to the ten seconds after which nobody waits.
const LATENCY_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Shares of a whole, such as what is lost: from one in a thousand, which nobody notices.
const RATIOS: [f64; 9] = [0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/// From a voice to a screen in full.
const BITRATES: [f64; 10] = [1e4, 3e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 5e7];

/// The handshakes of the SFU warn of each extension that they do not need, of which every browser
/// has some. Who wants to read it says so in the filter.
const QUIET: &str = "rtc_dtls=error";

/// Starts logs on stderr: readable at a terminal, JSON elsewhere. The filter is `tracing`'s
/// (`info,projector=debug`); a wrong one is `info`. A second call changes nothing.
pub fn init(filter: &str) {
    let filter = format!("{QUIET},{filter}");
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match std::io::stderr().is_terminal() {
        true => logs.finish().try_init(),
        false => logs.json().flatten_event(true).finish().try_init(),
    };
    // A test or an outer program may have its own; then that one is used.
    drop(started);
}

/// The metrics of this process, which `/metrics` shows. The first call installs the recorder;
/// where another program has installed its own, ours stays empty.
pub fn metrics() -> &'static PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)
            .and_then(|it| it.set_buckets_for_metric(Matcher::Suffix("_ratio".to_owned()), &RATIOS))
            .and_then(|it| {
                let rates = Matcher::Suffix("_bits_per_second".to_owned());
                it.set_buckets_for_metric(rates, &BITRATES)
            })
            .expect("there are buckets")
            .build_recorder();
        let handle = recorder.handle();
        drop(metrics::set_global_recorder(recorder));
        metrics::describe_histogram!(
            REQUEST_SECONDS,
            metrics::Unit::Seconds,
            "Time from a request's head to its answer's head"
        );
        handle
    })
}
