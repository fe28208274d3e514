//! Filters of `$all`: by stream or type, with prefixes or a regular expression.

use fancy_regex::{Regex, RegexBuilder};

use crate::log::frame::Record;

/// Steps that an expression may take to decide about one event.
const STEPS: usize = 50_000;

/// Which events a reader of `$all` wants.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) on: Subject,
    pub(crate) rule: Rule,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    Stream,
    Type,
}

/// No prefixes at all let everything through.
#[derive(Debug)]
pub(crate) enum Rule {
    Prefixes(Vec<String>),
    Regex(Box<Regex>),
}

impl Filter {
    /// Builds the rule; an expression, if there is one, wins over the prefixes. The dialect is
    /// .NET's, which has look-around, so matching may backtrack and is bounded.
    pub(crate) fn new(
        on: Subject,
        regex: &str,
        prefixes: Vec<String>,
    ) -> Result<Self, Box<fancy_regex::Error>> {
        let rule = if regex.is_empty() {
            Rule::Prefixes(prefixes)
        } else {
            let regex = RegexBuilder::new(regex).backtrack_limit(STEPS).build();
            Rule::Regex(Box::new(regex.map_err(Box::new)?))
        };
        Ok(Self { on, rule })
    }

    /// Whether the event passes; an error when the expression needs too many steps to tell.
    pub(crate) fn passes(&self, record: &Record) -> Result<bool, Box<fancy_regex::Error>> {
        let text = match self.on {
            Subject::Stream => &record.stream,
            Subject::Type => &record.event_type,
        };
        match &self.rule {
            Rule::Prefixes(prefixes) => Ok(prefixes.is_empty()
                || prefixes.iter().any(|prefix| text.starts_with(prefix.as_bytes()))),
            Rule::Regex(regex) => match std::str::from_utf8(text) {
                Ok(text) => regex.is_match(text).map_err(Box::new),
                Err(_) => Ok(false),
            },
        }
    }
}
