//! What a flow comes to: the results of its result tasks, or why there are none (reference tasks
//! and `determine_final_state` of Prefect 0.x).

use sandmill_wire::{Failure, Value};

use super::inputs::{self, MAX_RESULT_BYTES};
use super::piece::Refusal;
use super::schedule::Schedule;
use super::step::Conclusion;
use crate::plan::{Results, Target};
use crate::policy::ErrorsMode;

/// Kind of the failure of a flow whose tasks did not all complete.
const TASK_FAILED: &str = "task-failed";

impl Schedule {
    /// What the flow comes to. Tells the truth once it is finished.
    #[must_use]
    pub fn conclusion(&self) -> Conclusion {
        let made = match &self.plan.result {
            Results::Last => self.last(),
            Results::One(target) => self.result(target),
            Results::List(targets) => self.list(targets),
        };
        made.map_or_else(Conclusion::Failed, Conclusion::Value)
    }

    /// The result of one task.
    fn result(&self, target: &Target) -> Result<Value, Failure> {
        let name = &self.plan.nodes[target.node].name;
        if let (ErrorsMode::Raise, Some(blame)) = (target.errors, &self.stages[target.node].blame) {
            let what = format!("the result task `{name}` did not complete, because of {blame}");
            return Err(Failure::new(TASK_FAILED, what));
        }
        inputs::whole(&self.plan, &self.stages, target, MAX_RESULT_BYTES).map_err(|refusal| {
            match refusal {
                Refusal::Inputs(failure) => failure,
                Refusal::Skipped(why) | Refusal::Unmet(why) => Failure::new(TASK_FAILED, why),
            }
        })
    }

    fn list(&self, targets: &[Target]) -> Result<Value, Failure> {
        let results: Vec<_> = targets.iter().map(|target| self.result(target)).collect();
        let failed = results.iter().filter(|result| result.is_err()).count();
        if failed > 1 {
            let first = results.into_iter().find_map(Result::err);
            let first = first.map(|failure| failure.message).unwrap_or_default();
            let what = format!("{failed} of {} results are not there: {first}", targets.len());
            return Err(Failure::new(TASK_FAILED, what));
        }
        let results = results.into_iter().collect::<Result<Vec<_>, _>>()?;
        Value::array_within(&results, &inputs::bounds(MAX_RESULT_BYTES))
            .map_err(|error| Failure::new(inputs::ARGUMENTS_TOO_LARGE, error.to_string()))
    }

    /// Whether all tasks completed that no other depends on.
    fn last(&self) -> Result<Value, Failure> {
        let last = self.plan.nodes.iter().zip(&self.stages).filter(|(node, _)| node.is_terminal());
        let (mut count, mut failed) = (0, Vec::new());
        for (node, stage) in last {
            count += 1;
            failed.extend(stage.blame.as_ref().map(|blame| (&node.name, blame)));
        }
        let Some((name, blame)) = failed.first() else { return Ok(Value::nil()) };
        let what = format!(
            "{} of {count} last tasks did not complete; the first is `{name}`, because of {blame}",
            failed.len()
        );
        Err(Failure::new(TASK_FAILED, what))
    }
}
