//! Which of the commands of `sandmill runs` is meant.

use std::sync::Arc;

use sandmill::store::LogReader;

use super::args::{Action, RunsArgs};
use super::{cancel, delete, events, explain, list, logs, result, resume, show, watch};
use crate::config::Config;
use crate::error::Result;
use crate::output::Ui;
use crate::stores;

/// Does what is asked for.
pub(crate) fn runs(args: &RunsArgs, ui: &Arc<Ui>, config: &Config) -> Result<u8> {
    let reader = stores::reader(config)?;
    match &args.action {
        Action::List(args) => list::list(args, ui, &reader),
        Action::Show(args) => show::show(args, ui, &reader),
        Action::Events(args) => events::events(args, ui, &reader),
        Action::Logs(args) => {
            logs::logs(args, ui, &reader, &LogReader::new(stores::directory(config)?))
        }
        Action::Result(args) => result::result(args, ui, &reader),
        Action::Explain(args) => explain::explain(args, ui, config, &reader),
        Action::Watch(args) => watch::watch(args, ui, config, &reader),
        Action::Cancel(args) => cancel::cancel(args, ui, config, &reader),
        Action::Resume(args) => resume::resume(args, ui, config, &reader),
        Action::Rerun(args) => resume::rerun(args, ui, config, &reader),
        Action::Delete(args) => delete::delete(args, ui, config, &reader),
        Action::Prune(args) => delete::prune(args, ui, config, &reader),
    }
}
