//! `sandmill cache explain`: whether a call would be answered from the cache, and if not, what
//! differs from the nearest entry.

use std::sync::Arc;

use sandmill::core::CachePolicy;
use sandmill::core::units::format_duration;
use sandmill::store::{CacheKey, CacheReader, Difference, Expired, Explanation, cacheable};
use sandmill::value::Bounds;
use sandmill::{Call, CallOptions};
use serde::Serialize;

use super::args::ExplainArgs;
use super::command::EntryJson;
use crate::arguments::{self, Arguments};
use crate::config::{Config, ExecutorKind};
use crate::error::Result;
use crate::output::{Results, Ui, escape, moment};
use crate::session::{self, Opening};
use crate::stores::store_error;
use crate::{exit_code, schema};

/// The explanation in JSON: `docs/schemas/cache-explain.json`.
#[derive(Serialize)]
struct ExplainJson<'a> {
    hit: bool,
    key: String,
    reasons: &'a [String],
    /// The entry that answers, or the nearest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<EntryJson<'a>>,
    differences: Vec<DifferenceJson>,
}

#[derive(Serialize)]
struct DifferenceJson {
    part: &'static str,
    here: String,
    there: String,
}

/// Explains what the cache has for a call.
pub(super) fn explain(
    args: &ExplainArgs,
    ui: &Ui,
    config: &Config,
    reader: &CacheReader,
) -> Result<u8> {
    let call = call(args, config)?;
    let explanation = reader
        .explain(&CacheKey::of(&call), None, moment::now())
        .map_err(|error| store_error(&error))?;
    let refusal = cacheable(&call.options).err().map(|why| why.to_string());
    let hit = refusal.is_none() && explanation.hit().is_some();
    let reasons: Vec<String> = refusal.into_iter().chain(reasons(&explanation)).collect();
    let nearest = explanation.nearest.as_ref();
    if ui.is_json() {
        let entry = explanation.entry.as_ref().or(nearest.map(|nearest| &nearest.entry));
        let differences = nearest.map(|nearest| nearest.differences.iter().map(difference));
        Results::new(ui).json(&ExplainJson {
            hit,
            key: explanation.key.to_string(),
            reasons: &reasons,
            entry: entry.map(EntryJson::of),
            differences: differences.into_iter().flatten().collect(),
        })?;
    } else {
        let verdict = if hit { "found" } else { "not found" };
        let mut lines = vec![format!("{verdict}: {}({})", args.task, shown(&call))];
        lines.extend(reasons.iter().map(|reason| format!("  {}", escape::line(reason))));
        Results::new(ui).print(&lines.join("\n"))?;
    }
    Ok(exit_code::SUCCESS)
}

/// The call as it would be made.
fn call(args: &ExplainArgs, config: &Config) -> Result<Call> {
    let component = session::load(&args.component)?;
    let host = Opening::new(config, ExecutorKind::Inline).open()?;
    let info = session::inspect(&host, &component)?;
    let task = session::task(&info, &component, &args.task)?;
    let key = args.cache_key.as_deref().map(Arc::from);
    let options = CallOptions {
        cache: Some(CachePolicy { key, ..CachePolicy::default() }),
        ..session::call_options(config, args.grants.grants())
    };
    let max_bytes = usize::try_from(options.limits.input).unwrap_or(usize::MAX);
    let bounds = Bounds { max_bytes, ..Bounds::DEFAULT };
    let parameters = schema::parameters(&task.parameters);
    let mut given = Arguments::of(&args.arguments, parameters.as_deref(), &bounds);
    if let Some(json) = &args.json {
        given.add_json(json);
    }
    if let Some(parameters) = &parameters {
        given.check(parameters, None);
    }
    let given = given.checked(&args.task)?;
    let arguments = arguments::map_of(&given, bounds)?;
    Ok(Call::new(&component, args.task.as_str(), arguments).with_options(options))
}

/// The arguments in so many words.
fn shown(call: &Call) -> String {
    const MOST: usize = 60;
    let text = call.arguments.to_json_string();
    let text = text.trim_start_matches('{').trim_end_matches('}');
    let text = escape::line(text);
    console::truncate_str(&text, MOST, "…").into_owned()
}

fn reasons(explanation: &Explanation) -> Vec<String> {
    let now = moment::now();
    if let Some(entry) = &explanation.entry {
        let by = format!("made by run {}, {}", entry.run, moment::ago(entry.created, now));
        return match explanation.expired {
            None => vec![by],
            Some(Expired::Entry { at }) => {
                vec![by, format!("it was to be kept until {}", moment::utc(at))]
            }
            Some(Expired::Call { age, accepts }) => vec![
                by,
                format!(
                    "it is {} old, and the call accepts {}",
                    format_duration(age),
                    format_duration(accepts)
                ),
            ],
        };
    }
    match &explanation.nearest {
        None => vec!["nothing like it is kept".to_owned()],
        Some(nearest) => {
            let entry = &nearest.entry;
            let made = moment::ago(entry.created, now);
            let first = format!("the nearest result is that of run {}, {made}", entry.run);
            let differences = nearest.differences.iter().map(ToString::to_string);
            std::iter::once(first).chain(differences).collect()
        }
    }
}

fn difference(difference: &Difference) -> DifferenceJson {
    let key = |key: &Option<Arc<str>>| key.as_deref().unwrap_or_default().to_owned();
    let (part, here, there) = match difference {
        Difference::Component { entry, call } => ("component", call.to_string(), entry.to_string()),
        Difference::Task { entry, call } => ("task", call.to_string(), entry.to_string()),
        Difference::Arguments { entry, call, .. } => {
            ("arguments", call.to_string(), entry.to_string())
        }
        Difference::UserKey { entry, call } => ("user_key", key(call), key(entry)),
        Difference::Profile { entry, call } => ("profile", call.to_string(), entry.to_string()),
    };
    DifferenceJson { part, here, there }
}
