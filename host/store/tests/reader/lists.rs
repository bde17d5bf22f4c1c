//! Lists, pages and names.

use sandmill_core::StateType;
use sandmill_store::{FlowFilter, NewFlow, RunFilter, RunKey, StoreError};
use sandmill_wire::{End, EndKind, Outcome, RunId};

use crate::common::{Fixture, at, end_flow, key, new_flow, stage, submit, value, whole_run};

#[test]
fn flows_are_listed_newest_first_by_what_is_asked() {
    let it = Fixture::new();
    let parent = RunId::new();
    let mut journals = Vec::new();
    for (number, name) in ["census", "census-eu", "other", "census"].into_iter().enumerate() {
        let labels: Vec<String> =
            ["a", "b", "c"][..number].iter().map(ToString::to_string).collect();
        let parent = (number == 3).then_some(parent);
        journals.push(it.create(NewFlow { labels, parent, ..new_flow(name) }, at(number as u64)));
    }
    end_flow(&journals[0], &value("1"), 10);
    let failed = Outcome::Ended(End::new(EndKind::TimedOut, "too slow"));
    end_flow(&journals[1], &failed, 11);
    let reader = it.reader();
    let found = |filter: FlowFilter| -> Vec<usize> {
        let place = |run| journals.iter().position(|journal| journal.flow() == run).unwrap();
        reader.flows(&filter).unwrap().iter().map(|flow| place(flow.run)).collect()
    };
    let all = FlowFilter::default;
    assert_eq!(found(all()), [3, 2, 1, 0]);
    assert_eq!(found(FlowFilter { limit: 2, ..all() }), [3, 2]);
    let named = |name: &str| FlowFilter { name: Some(name.to_owned()), ..all() };
    assert_eq!(found(named("census")), [3, 0]);
    assert_eq!(found(named("census*")), [3, 1, 0]);
    assert_eq!(found(named("c?nsus-[ef]u")), [1]);
    assert_eq!(found(named("cens")), [0; 0]);
    let states = |states: &[StateType]| FlowFilter { states: states.to_vec(), ..all() };
    assert_eq!(found(states(&[StateType::Failed, StateType::Completed])), [1, 0]);
    assert_eq!(found(states(&[StateType::Pending])), [3, 2]);
    let labels = |labels: &[&str]| FlowFilter {
        labels: labels.iter().map(ToString::to_string).collect(),
        ..all()
    };
    assert_eq!(found(labels(&["a"])), [3, 2, 1]);
    assert_eq!(found(labels(&["c", "a"])), [3]);
    assert_eq!(found(FlowFilter { since: Some(at(1)), until: Some(at(3)), ..all() }), [2, 1]);
    assert_eq!(found(FlowFilter { parent: Some(parent), ..all() }), [3]);
}

#[test]
fn names_are_found_and_errors_name_candidates() {
    let it = Fixture::new();
    let id = |text: &str| -> RunId { text.parse().unwrap() };
    let (one, two) =
        (id("01939f3e-6c2a-7000-8000-000000000001"), id("01939f3e-6c2b-7000-8000-000000000002"));
    let first = it.create(NewFlow { run: one, ..new_flow("census") }, at(0));
    let second = it.create(NewFlow { run: two, ..new_flow("other") }, at(1));
    let sub = it.create(NewFlow { parent: Some(two), ..new_flow("sub") }, at(2));
    first.stage(&stage(0, "count", true, None));
    first.stage(&stage(1, "sum", false, None));
    let counted = whole_run(&first, key(0, 3), &value("1"), 5);
    let single = RunKey { stage: 1, index: None };
    whole_run(&first, single, &value("2"), 6);
    let reader = it.reader();
    for text in ["latest", "@", "01939f3e-6c2b", "01939F3E6C2B", &two.to_string()] {
        assert_eq!(reader.find_flow(text).unwrap(), two, "{text}");
    }
    let ambiguous = reader.find_flow("01939f3e").unwrap_err().to_string();
    for part in [&one.to_string(), &two.to_string(), "census", "more than one flow run"] {
        assert!(ambiguous.contains(part), "{ambiguous}");
    }
    for text in ["", "019", "census", "ffff0000", "0193%", "../x"] {
        let error = reader.find_flow(text).unwrap_err();
        assert!(matches!(error, StoreError::Unknown { .. }), "{text}: {error}");
    }
    for text in
        [format!("{one}/count[3]"), "01939f3e-6c2a/count[3]".to_owned(), counted.to_string()]
    {
        assert_eq!(reader.find_run(&text).unwrap(), (one, key(0, 3)), "{text}");
    }
    assert_eq!(reader.find_run(&format!("{one}/sum")).unwrap(), (one, single));
    for (name, hint) in [
        ("count", "name one of its runs, as count[0]"),
        ("sum[0]", "is no map"),
        ("count[9]", "was not submitted yet"),
        ("cuont[3]", "are count, sum"),
    ] {
        let error = reader.find_run(&format!("{one}/{name}")).unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
    }
    let hint = reader.find_run("@/x").unwrap_err().to_string();
    assert!(hint.contains("has no tasks yet"), "{hint}");
    assert!(matches!(reader.find_run("latest"), Err(StoreError::Unknown { .. })));
    drop((second, sub));
}

#[test]
fn pages_of_runs_are_by_stage_and_position() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.stage(&stage(0, "count", true, Some(25)));
    journal.stage(&stage(1, "sum", false, None));
    let failed = Outcome::Ended(End::new(EndKind::OutOfMemory, "too much"));
    // In any order, as they end.
    for index in (0..25).rev() {
        let outcome = if index % 5 == 0 { failed.clone() } else { value("1") };
        whole_run(&journal, key(0, index), &outcome, 10 + index);
    }
    let single = RunKey { stage: 1, index: None };
    submit(&journal, single, 90);
    let reader = it.reader();
    let mut filter = RunFilter { limit: 10, ..RunFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = reader.runs(flow, &filter).unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 10);
        filter.after = Some(last.key);
        seen.extend(page.iter().map(|run| run.key));
    }
    let all: Vec<RunKey> = (0..25).map(|index| key(0, index)).chain([single]).collect();
    assert_eq!(seen, all);
    let found = |filter: RunFilter| -> Vec<Option<u64>> {
        reader.runs(flow, &filter).unwrap().iter().map(|run| run.key.index).collect()
    };
    let any = RunFilter::default;
    let failed = RunFilter { states: vec![StateType::Failed], ..any() };
    assert_eq!(found(failed), [Some(0), Some(5), Some(10), Some(15), Some(20)]);
    let range = RunFilter { indices: Some(3..6), ..any() };
    assert_eq!(found(range), [Some(3), Some(4), Some(5)]);
    assert_eq!(found(RunFilter { stage: Some("sum".to_owned()), ..any() }), [None]);
    assert_eq!(found(RunFilter { stage: Some("?".to_owned()), ..any() }), [None; 0]);
    assert_eq!(found(RunFilter { states: vec![StateType::Pending], ..any() }), [None]);

    let summary = &reader.stages(flow).unwrap()[0];
    assert_eq!((summary.counts.completed, summary.counts.failed), (20, 5));
    assert_eq!((summary.counts.all(), summary.counts.open()), (25, 0));
    assert_eq!(summary.names["OutOfMemory"], 5);
    assert_eq!((summary.busy_micros, summary.output), (125, 75));
    assert_eq!((summary.first_started, summary.last_ended), (Some(at(11)), Some(at(36))));
}
