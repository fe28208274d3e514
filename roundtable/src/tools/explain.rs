//! `roundtable explain`: why something is as it is, as a tree from the request to the socket frame.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use query_api::history::access;
use query_api::history::entry::Entry;
use query_api::history::explain::badge::Badge;
use query_api::history::explain::subject::Subject;
use query_api::history::explain::{self, Explanation, Step};

use super::Place;
use super::events::{Paint, Printer, by, hue, index, open, operator, told, until_closed};

/// Explain why something is as it is: which requests and events made it.
///
/// Things are named by kind and id: `message:ID`, `call:ID`, `notification:ID`, `conversation:ID`,
/// `user:ID`, `session:ID`, `file:ID`, `report:ID`, `login:ID`, `friendship:USER:USER`. A row of a read
/// model is named by it and the ids: `friend_list:USER:USER`, `read_cursor:CONVERSATION:USER`. The number
/// of unread messages is `badge:CONVERSATION:USER`. An event is `event:ID` or `position:N`, what one
/// request caused `correlation:ID`, and a stream `stream:NAME`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// What is explained.
    #[arg(value_name = "KIND:ID")]
    subject: Subject,
    /// One JSON object for each step, and one for a badge.
    #[arg(long)]
    json: bool,
    /// Open what events say of persons; this is recorded in the log.
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    place: Place,
}

/// Prints it.
///
/// # Errors
/// When a server does not answer, or nothing of it ever happened.
pub async fn run(arguments: ExplainArguments) -> Result<ExitCode> {
    service::telemetry::init("error");
    until_closed(print(arguments).await)
}

async fn print(arguments: ExplainArguments) -> Result<()> {
    let ExplainArguments { subject, json, open: opens, place } = arguments;
    let (log, seals) = open(&place, opens).await?;
    let mut db = index(&log, &place.postgres()?).await?;
    let found = explain::explain(&log, &mut db, &subject, seals).await?;
    let found = found.with_context(|| format!("nothing of {subject} ever happened"))?;
    if opens {
        let events: Vec<Entry> = found.steps.iter().filter_map(|it| it.event.clone()).collect();
        access::opened(&log, operator(), "explain", subject.to_string(), &events).await?;
    }
    let mut printer = Printer::new(json);
    if json {
        found.badge.iter().try_for_each(|badge| printer.json(badge))?;
        return found.steps.iter().try_for_each(|step| printer.json(step));
    }
    show(&found, &mut printer)
}

fn show(found: &Explanation, printer: &mut Printer) -> Result<()> {
    let paint = printer.paint;
    printer.line(&paint.text("1", &found.subject))?;
    if let Some(badge) = &found.badge {
        for line in count(badge) {
            printer.line(&line)?;
        }
    }
    for step in &found.steps {
        for line in lines(step, paint) {
            printer.line(&line)?;
        }
    }
    match found.complete {
        true => Ok(()),
        false => printer.line(&paint.text("31", "there is more: at most 500 events are told")),
    }
}

fn count(badge: &Badge) -> Vec<String> {
    let cursor = match &badge.cursor {
        Some(cursor) => format!(
            "read up to {} (message {}), where the receipt at {} moved the cursor",
            cursor.position, cursor.message, cursor.moved_by
        ),
        None => "nothing has been read yet".to_owned(),
    };
    let mut lines = vec![
        format!("{} unread", badge.unread),
        format!("  in the conversation since {}; {cursor}", badge.joined),
        format!(
            "  after that: {} of others count, {} of others were deleted, {} are the person's own",
            badge.unread, badge.deleted, badge.own
        ),
    ];
    match badge.read_model {
        Some(said) if said == badge.unread => {
            lines.push(format!("  the read model says {said} too"));
        }
        Some(said) => lines.push(format!("  the read model says {said}: it differs")),
        None => {}
    }
    lines
}

/// The event, what it says, and what came of it outside of the log.
fn lines(step: &Step, paint: Paint) -> Vec<String> {
    let indent = "  ".repeat(usize::from(step.depth));
    let Some(event) = &step.event else {
        return vec![format!("{indent}{} {}", paint.text("1", "request"), step.id)];
    };
    let mark = if step.focus { paint.text("1", "●") } else { paint.dim("○") };
    let kind = paint.text(hue(event.category.as_deref()), &event.event_type);
    let by = by(event);
    let mut lines = vec![format!(
        "{indent}{mark} {kind} {} {} {}@{} by {by}",
        paint.text("33", &event.position.to_string()),
        paint.dim(&event.recorded_at.format("%F %T%.3f").to_string()),
        event.stream,
        event.revision,
    )];
    let says = told(event, paint);
    if !says.is_empty() {
        lines.push(format!("{indent}    {says}"));
    }
    if !step.projections.is_empty() {
        let read = step.projections.join(", ");
        lines.push(format!("{indent}    {} {read}", paint.dim("read by")));
    }
    if !step.frames.is_empty() {
        let frames = step.frames.join(", ");
        lines.push(format!("{indent}    {} {frames}", paint.dim("frames on")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use events::Category;

    /// The table that explanations use says what the projections say.
    #[test]
    fn explanations_name_the_projections_that_read_a_category() {
        for category in Category::ALL {
            let read: BTreeSet<&str> = projector::follows()
                .filter(|(_, follows)| follows.contains(&category))
                .map(|(name, _)| name)
                .collect();
            let told = query_api::history::explain::projections(category);
            assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), read, "{category:?}");
        }
    }
}
