//! What `roundtable bench sfu` prints.

use std::fmt;

use serde::Serialize;

use super::{browser::Browser, witness::Witness};
use crate::bench::{machine::Machine, report::Latency};

/// The result of `roundtable bench sfu`.
#[derive(Clone, Debug, Serialize)]
pub struct SfuReport {
    /// Which bench it is.
    pub bench: &'static str,
    /// Where it was measured.
    pub machine: Machine,
    /// When (RFC 3339).
    pub date: String,
    /// What was measured: the commit of this program.
    pub commit: &'static str,
    /// How long all of it took.
    pub seconds: f64,
    /// What was measured of the SFU.
    pub scenarios: Vec<Scenario>,
    /// The same of Janus, where it is installed.
    pub janus: Option<Vec<Scenario>>,
    /// What a browser saw that joined, where Chromium is installed.
    pub browser: Option<Browser>,
    /// Why it saw nothing, where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub browser_failed: Option<String>,
    /// The longest that it took the browser until the first decoded picture, in milliseconds.
    pub first_frame_ms: Option<f64>,
    /// From the request of a viewer of the load until the first packet of a key frame, in
    /// milliseconds: the longest of the scenarios.
    pub first_packet_ms: f64,
}

/// One scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Scenario {
    /// What it is.
    pub name: &'static str,
    /// Connections that send.
    pub publishers: usize,
    /// Connections that receive.
    pub subscribers: usize,
    /// Forwarded packets that arrived, a second.
    pub packets_per_s: f64,
    /// Their payload.
    pub mbit_per_s: f64,
    /// Processor time of the SFU for each of them, in microseconds.
    pub cpu_us_per_packet: f64,
    /// Processor time of the SFU, in percent of a core.
    pub cpu_percent: f64,
    /// From the moment a packet was sent until a subscriber had decrypted it, the time of the
    /// clients included.
    pub added_latency: Latency,
    /// Packets that did not arrive at somebody.
    pub lost: u64,
    /// Memory of the SFU for each connection, in MiB.
    pub rss_mb_per_peer: f64,
    /// What a client of another implementation saw that joined while the load ran; not of Janus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
}

impl fmt::Display for SfuReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        writeln!(
            f,
            "{:44} packets/s  Mbit/s  us/packet  latency ms p50  p99  lost  MiB/peer",
            "scenario"
        )?;
        for one in self.scenarios.iter().chain(self.janus.iter().flatten()) {
            writeln!(
                f,
                "{:44} {:9.0} {:7.1} {:10.2} {:15.3} {:4.2} {:5} {:9.3}",
                one.name,
                one.packets_per_s,
                one.mbit_per_s,
                one.cpu_us_per_packet,
                one.added_latency.p50,
                one.added_latency.p99,
                one.lost,
                one.rss_mb_per_peer
            )?;
        }
        for (one, witness) in
            self.scenarios.iter().filter_map(|one| Some((one, one.witness.as_ref()?)))
        {
            let Witness { first_packet_ms, packets, lost } = witness;
            writeln!(
                f,
                "{:44} `webrtc` had the first packet of a picture after {first_packet_ms} ms, {packets} packets, {lost} lost",
                one.name
            )?;
        }
        if self.janus.is_none() {
            writeln!(f, "Janus is not installed")?;
        }
        writeln!(f, "first packet of a picture after {:.0} ms", self.first_packet_ms)?;
        let Some(Browser { joins, p50, p95, max }) = &self.browser else {
            let why = self.browser_failed.as_deref().unwrap_or("Chromium is not installed");
            return write!(f, "no browser joined: {why}");
        };
        write!(
            f,
            "first decoded picture in a browser after {p50:.0} ms (median of {joins}), {p95:.0} ms (95 %), \
             {max:.0} ms (the longest)"
        )
    }
}
