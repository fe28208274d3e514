//! `roundtable bench chat`: one conversation, 50 subscribers, a rate that rises until it hurts.

use std::{cell::RefCell, rc::Rc, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    child::ChildStack,
    lag::{self, Samples},
    load::Room,
    machine::{self, Machine},
    measure::{Measure, Plan},
    people,
    processes::{ByProcess, Processes},
    report::{Lag, Latency, Report, Saturation, Step, rounded},
};
use crate::client::{Client, Session};

const SUBSCRIBERS: usize = 50;
const SENDERS: usize = 10;

/// A step passes while its delivery p99 is below this.
const BOUND_MS: f64 = 100.0;
/// And while at least this part of what is offered arrives.
const ACHIEVED: f64 = 0.99;

const RATES: &[u32] =
    &[100, 250, 500, 750, 1000, 1250, 1500, 2000, 2500, 3000, 4000, 5000, 7500, 10_000];
const QUICK_RATES: &[u32] = &[100, 500, 1000, 2000];

/// How to measure.
#[derive(Clone, Debug, Default)]
pub struct Chat {
    /// Fewer and shorter steps: at most 40 s in all.
    pub quick: bool,
    /// A running stack to measure, instead of one of our own.
    pub url: Option<String>,
}

/// Measures, and tells the steps on standard error as they pass.
///
/// # Errors
/// When the stack does not start, or somebody cannot sign up or connect. A step that is too much
/// for the stack is no error: it is reported as failed.
pub async fn run(chat: &Chat) -> Result<Report> {
    let begun = Instant::now();
    let date = machine::date();
    let (stack, url) = match &chat.url {
        Some(url) => (None, url.clone()),
        None => {
            eprintln!("starting a stack in a process of its own");
            let stack = ChildStack::start().await?;
            let url = stack.url().to_owned();
            (Some(stack), url)
        }
    };
    let processes = stack.as_ref().and_then(ChildStack::pid).map(Processes::of);
    let local = tokio::task::LocalSet::new();
    let steps = local.run_until(steps(chat, &url, processes.as_ref())).await;
    if let Some(stack) = stack {
        stack.stop().await?;
    }
    let steps = steps?;
    let best = steps.iter().filter(|step| step.failed.is_none()).max_by_key(|s| s.offered_per_s);
    let best = best.cloned();
    Ok(Report {
        bench: "chat",
        machine: Machine::this(),
        date,
        commit: crate::COMMIT,
        seconds: rounded(begun.elapsed().as_secs_f64(), 1),
        subscribers: SUBSCRIBERS,
        senders: SENDERS,
        saturation: best.as_ref().map(|step| Saturation {
            messages_per_s: step.achieved_per_s,
            deliveries_per_s: step.deliveries_per_s,
        }),
        cpu_us_per_delivery: best.as_ref().and_then(|step| step.cpu_us_per_delivery.clone()),
        rss_mb: best.as_ref().and_then(|step| step.rss_mb.clone()),
        projection_lag_ms: best.as_ref().and_then(|step| step.projection_lag_ms),
        steps,
    })
}

/// Offers one rate after the other until one is too much.
async fn steps(chat: &Chat, url: &str, processes: Option<&Processes>) -> Result<Vec<Step>> {
    eprintln!("{SUBSCRIBERS} people sign up and open a socket");
    let client = Client::new(url)?;
    let people = people::sign_up(&client, SUBSCRIBERS).await?;
    let others: Vec<_> = people[1..].iter().map(Session::user).collect();
    let group = people[0].open_group("Bench", &others).await.context("no conversation")?;
    // Sockets that open from here on belong to the conversation from their start.
    let messages = format!("/v1/conversations/{}/messages?limit=1", group.id);
    let request = people[0].request(reqwest::Method::GET, &messages);
    request.header("Roundtable-After", group.position.to_string()).send().await?;
    let tokens: Vec<String> =
        people.iter().map(|person| person.tokens().access_token.clone()).collect();
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let room = Room::open(address, &tokens, group.id, SENDERS).await?;

    let (rates, warm_up, measured) = match chat.quick {
        true => (QUICK_RATES, Duration::from_secs(1), Duration::from_secs(3)),
        false => (RATES, Duration::from_secs(2), Duration::from_secs(10)),
    };
    let mut steps = Vec::new();
    for (number, rate) in (1..).zip(rates) {
        let plan = Plan {
            number,
            per_second: *rate,
            subscribers: SUBSCRIBERS,
            start: Instant::now() + Duration::from_millis(100),
            warm_up,
            measured,
        };
        let lag = (people[0].clone(), messages.clone());
        let step = one_step(&room, plan, processes, lag).await?;
        eprintln!(
            "{:>6} messages/s: {:>9.0} deliveries/s, p99 {:.2} ms, {}",
            step.offered_per_s,
            step.deliveries_per_s,
            step.delivery.p99,
            step.failed.as_deref().unwrap_or("ok"),
        );
        let failed = step.failed.is_some();
        steps.push(step);
        if failed {
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(steps)
}

/// Offers one rate, samples the lag beside it, and judges.
async fn one_step(
    room: &Room,
    plan: Plan,
    processes: Option<&Processes>,
    (reader, path): (Session, String),
) -> Result<Step> {
    let samples: Samples = Rc::new(RefCell::new(Vec::new()));
    let sampling = tokio::task::spawn_local({
        let (acks, samples, from) = (room.acks(), Rc::clone(&samples), plan.measured_from());
        async move {
            sleep_until(from).await;
            lag::sample(reader, path, acks, samples).await;
        }
    });
    let (from, end) = (plan.measured_from(), plan.end());
    let used = async {
        sleep_until(from).await;
        let before = processes.map(Processes::cpu_us);
        sleep_until(end).await;
        let after = processes.map(Processes::cpu_us);
        let memory = processes.map(Processes::rss_mb);
        before.zip(after).zip(memory)
    };
    let (measure, used) = tokio::join!(room.offer(plan), used);
    // The last samples are of the end of the step.
    sleep(Duration::from_millis(50)).await;
    sampling.abort();
    let samples = samples.borrow().clone();
    Ok(judge(&measure?, used, &samples))
}

type Used = ((ByProcess<u64>, ByProcess<u64>), ByProcess<f64>);

fn judge(measure: &Measure, used: Option<Used>, lags: &[f64]) -> Step {
    let seconds = measure.plan.measured.as_secs_f64();
    let arrived = measure.arrived_measured as f64;
    let offered = f64::from(measure.plan.per_second);
    let achieved = arrived / measure.plan.subscribers as f64 / seconds;
    let delivery = Latency::of(&measure.deliveries);
    let (cpu, rss_mb) = used.unzip();
    let cpu_us_per_delivery = cpu.map(|(before, after)| {
        let since = |(name, after): (&'static str, u64)| {
            let used = after.saturating_sub(before.get(name).copied().unwrap_or(0));
            (name, rounded(used as f64 / arrived.max(1.0), 2))
        };
        after.into_iter().map(since).collect()
    });
    let lost = measure.expected().saturating_sub(measure.delivered);
    let failures = [
        (measure.refused > 0).then(|| {
            let first = measure.first_refusal.as_deref().unwrap_or_default();
            format!("{} refused, the first: {first}", measure.refused)
        }),
        (lost > 0).then(|| format!("{lost} deliveries lost")),
        (measure.doubled > 0).then(|| format!("{} deliveries doubled", measure.doubled)),
        (measure.disordered > 0).then(|| format!("{} out of order", measure.disordered)),
        (achieved < offered * ACHIEVED)
            .then(|| format!("achieved {:.1} %", achieved / offered * 100.0)),
        (delivery.p99 > BOUND_MS).then(|| format!("delivery p99 above {BOUND_MS} ms")),
        lag::grows(lags).then(|| "the read models fall behind".to_owned()),
    ];
    let failures: Vec<String> = failures.into_iter().flatten().collect();
    Step {
        offered_per_s: measure.plan.per_second,
        achieved_per_s: rounded(achieved, 1),
        deliveries_per_s: rounded(arrived / seconds, 0),
        ack: Latency::of(&measure.acks),
        delivery,
        projection_lag_ms: Lag::of(lags),
        cpu_us_per_delivery,
        rss_mb,
        lost,
        doubled: measure.doubled,
        disordered: measure.disordered,
        failed: (!failures.is_empty()).then(|| failures.join("; ")),
    }
}

/// Fails if nothing passed: for scripts that only look at the exit status.
///
/// # Errors
/// When not even the first step passed.
pub fn check(report: &Report) -> Result<()> {
    ensure!(report.saturation.is_some(), "not even the first step passed");
    Ok(())
}
