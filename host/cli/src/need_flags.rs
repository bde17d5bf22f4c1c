//! Flags for what runs need of the host that makes them. What a flow's tasks need is in the flow.

use std::str::FromStr;

use clap::Args;
use sandmill::CallOptions;
use sandmill::scheduler::{Amount, parse_resource, parse_resource_tag};

use crate::config::Form;

/// What the runs of `call` and `map` need of their host.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What runs need of their host (only with other hosts)")]
pub(crate) struct NeedFlags {
    /// A label that the host must carry; may be given more than once. `resource:KEY=NUM`, or
    /// `dask-resource:KEY=NUM`, is a resource, as it is for the tags of a flow's tasks.
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<Need>,
    /// An amount that the host must have free for the run, such as gpu=1; may be given more than
    /// once.
    #[arg(long = "resource", value_name = "KEY=NUM", value_parser = parse_resource)]
    resources: Vec<(String, Amount)>,
}

/// What a label asks for.
#[derive(Debug, Clone, PartialEq)]
enum Need {
    Label(String),
    Resource(String, Amount),
}

impl FromStr for Need {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parse_resource_tag(text) {
            Ok(Some((key, amount))) => Ok(Self::Resource(key, amount)),
            Ok(None) => Form::Name.check(text).map(Self::Label),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl NeedFlags {
    /// The same options with what these flags say. Of two amounts of the same resource the last one
    /// counts, and `--resource` counts more than a label.
    pub(crate) fn over(&self, mut options: CallOptions) -> CallOptions {
        for need in &self.labels {
            match need {
                Need::Label(label) => {
                    options.labels.insert(label.clone());
                }
                Need::Resource(key, amount) => {
                    options.resources.insert(key.clone(), amount.get());
                }
            }
        }
        for (key, amount) in &self.resources {
            options.resources.insert(key.clone(), amount.get());
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        needs: NeedFlags,
    }

    fn options(flags: &[&str]) -> Result<CallOptions, clap::Error> {
        let line = Line::try_parse_from([&["x"], flags].concat())?;
        Ok(line.needs.over(CallOptions::default()))
    }

    #[test]
    fn labels_and_amounts_are_read_as_in_flows() {
        let flags = ["--label", "ssd", "--label", "Dask-Resource:gpu=1", "--resource", "mem=0.5"];
        let made = options(&flags).unwrap();
        assert!(made.labels.iter().eq(["ssd"]));
        let resources: Vec<_> =
            made.resources.iter().map(|(key, it)| (key.as_str(), *it)).collect();
        assert_eq!(resources, [("gpu", 1.0), ("mem", 0.5)]);
        for wrong in [["--label", ""], ["--label", "resource:gpu"], ["--resource", "gpu=-1"]] {
            assert!(options(&wrong).is_err(), "{wrong:?}");
        }
    }
}
