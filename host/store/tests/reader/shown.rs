//! What is shown of one flow run, also when it is damaged or deleted.

use std::fs;
use std::path::Path;

use sandmill_core::{State, StateType};
use sandmill_store::{FlowFilter, NewFlow, Reader, RunFilter, SourceComponent, Store, StoreError};
use sandmill_wire::{Digest, Outcome, RunId, Value};

use crate::common::{Fixture, at, end_flow, key, new_flow, open, stage, submit, value, whole_run};

#[test]
fn a_flow_run_is_shown_whole() {
    let it = Fixture::new();
    let digest = it.store.put_blob(b"the component").unwrap();
    let component = SourceComponent { name: "c".to_owned(), digest, origin: "c.wasm".to_owned() };
    let (parent, based_on) = (RunId::new(), RunId::new());
    let mut flow = new_flow("census");
    flow.source.components.push(component);
    let flow = NewFlow {
        parent: Some(parent),
        based_on: Some(based_on),
        idempotency_key: Some("once".to_owned()),
        labels: vec!["nightly".to_owned(), "eu \"west\"".to_owned()],
        ..flow
    };
    let run = flow.run;
    let journal = it.create(flow, at(0));
    journal.flow_state(&State::running(at(5)));
    let reader = it.reader();
    let record = reader.flow(run).unwrap().unwrap();
    assert_eq!((&*record.name, record.run, record.starts), ("census", run, 1));
    assert_eq!(record.state, State::running(at(5)));
    assert_eq!((record.created, record.started, record.ended), (at(0), Some(at(5)), None));
    assert_eq!((record.parent, record.based_on), (Some(parent), Some(based_on)));
    assert_eq!(record.labels, ["nightly", "eu \"west\""]);
    assert_eq!(record.idempotency_key.as_deref(), Some("once"));
    assert_eq!(reader.flow_outcome(run).unwrap(), None);

    let source = reader.source(run).unwrap();
    assert_eq!(source.components[0].digest, digest);
    assert_eq!(source.text.as_deref(), Some("[flow]"));
    assert_eq!(reader.blob(&digest).unwrap(), b"the component");
    assert!(matches!(reader.blob(&Digest::of(b"?")), Err(StoreError::NoBlob { .. })));

    // The same reader sees what is written later.
    let large = Outcome::Value(Value::encode(&"x".repeat(200_000)).unwrap());
    end_flow(&journal, &large, 9);
    it.store.sync(None).unwrap();
    let record = reader.flow(run).unwrap().unwrap();
    assert_eq!((record.state.kind, record.ended), (StateType::Completed, Some(at(9))));
    assert_eq!(reader.flow_outcome(run).unwrap(), Some(large));
    assert_eq!(reader.flow(RunId::new()).unwrap(), None);
    assert!(matches!(reader.stages(RunId::new()), Err(StoreError::NoSuchFlow { .. })));
}

#[test]
fn the_holder_is_told_and_a_flow_that_nobody_runs_is_interrupted() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.flow_state(&State::running(at(1)));
    journal.stage(&stage(0, "count", true, Some(2)));
    let open = submit(&journal, key(0, 0), 2);
    journal.state(key(0, 0), open, &State::running(at(3)));
    whole_run(&journal, key(0, 1), &value("1"), 2);
    let reader = it.reader();
    let holder = reader.holder().expect("the store is held");
    assert_eq!((holder.pid, &*holder.holder), (std::process::id(), "a test"));
    assert_eq!(reader.flow(flow).unwrap().unwrap().state.kind, StateType::Running);
    assert_eq!(reader.stages(flow).unwrap()[0].counts.running, 1);
    assert_eq!(reader.run(flow, key(0, 0)).unwrap().unwrap().state.kind, StateType::Running);

    // As a kill leaves it: written as running, and nobody there. A copy has no holder.
    let copy = it.dir.with_file_name("copy");
    fs::create_dir(&copy).unwrap();
    for file in ["history.db", "history.db-wal", "lock"] {
        fs::copy(it.dir.join(file), copy.join(file)).unwrap();
    }
    let reader = Reader::open(&copy).unwrap();
    assert_eq!(reader.holder(), None);
    let state = reader.flow(flow).unwrap().unwrap().state;
    assert_eq!((state.kind, &*state.name), (StateType::Paused, "Interrupted"));
    assert!(state.message.unwrap().contains("went away"));
    let counts = reader.stages(flow).unwrap()[0].counts;
    assert_eq!((counts.running, counts.paused, counts.completed), (0, 1, 1));
    let runs = reader.runs(flow, &RunFilter::default()).unwrap();
    let kinds: Vec<StateType> = runs.iter().map(|run| run.state.kind).collect();
    assert_eq!(kinds, [StateType::Paused, StateType::Completed]);
    for (asked, flows, runs) in [
        (StateType::Running, 0, 0),
        (StateType::Paused, 1, 1),
        (StateType::Completed, 0, 1),
        (StateType::Failed, 0, 0),
    ] {
        let filter = FlowFilter { states: vec![asked], ..FlowFilter::default() };
        assert_eq!(reader.flows(&filter).unwrap().len(), flows, "{asked}");
        let filter = RunFilter { states: vec![asked], ..RunFilter::default() };
        assert_eq!(reader.runs(flow, &filter).unwrap().len(), runs, "{asked}");
    }
    // With somebody else in it, it is no more running than with nobody.
    let other = it.dir.with_file_name("other");
    drop(open_beside(&other, &it.dir));
    let reader = Reader::open(&other).unwrap();
    assert_eq!(reader.flow(flow).unwrap().unwrap().state.kind, StateType::Paused);
    drop(journal);
}

/// Opens a copy of a store for writing.
fn open_beside(copy: &Path, dir: &Path) -> Store {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(copy).unwrap();
    for file in ["history.db", "history.db-wal"] {
        fs::copy(dir.join(file), copy.join(file)).unwrap();
    }
    open(copy)
}

#[test]
fn what_is_damaged_is_named_and_never_shown() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.stage(&stage(0, "count", true, None));
    whole_run(&journal, key(0, 0), &value("1"), 1);
    let large = Outcome::Value(Value::encode(&"x".repeat(200_000)).unwrap());
    whole_run(&journal, key(0, 1), &large, 5);
    end_flow(&journal, &value("2"), 11);
    let reader = it.reader();
    let damage = |sql: &str| {
        let raw = it.raw();
        raw.execute_batch("DROP TRIGGER IF EXISTS runs_are_final").unwrap();
        raw.execute_batch("DROP TRIGGER IF EXISTS flows_are_final").unwrap();
        raw.execute_batch(sql).unwrap();
    };
    let names_it = |error: StoreError| {
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    };
    assert_eq!(reader.outcome(flow, key(0, 1)).unwrap(), Some(large));
    let hex = fs::read_dir(it.dir.join("blobs")).unwrap().next().unwrap().unwrap().path();
    let blob = fs::read_dir(hex).unwrap().next().unwrap().unwrap().path();
    fs::write(&blob, "something else").unwrap();
    names_it(reader.outcome(flow, key(0, 1)).unwrap_err());
    damage("UPDATE runs SET result = x'02' WHERE idx = 0");
    names_it(reader.outcome(flow, key(0, 0)).unwrap_err());
    names_it(reader.run(flow, key(0, 0)).unwrap_err());
    names_it(reader.runs(flow, &RunFilter::default()).unwrap_err());
    names_it(reader.events(flow, None, 100).unwrap_err());
    damage("UPDATE stages SET completed = completed + 1");
    names_it(reader.stages(flow).unwrap_err());
    damage("DELETE FROM stages");
    names_it(reader.stages(flow).unwrap_err());
    damage("UPDATE sources SET body = x'80'");
    names_it(reader.source(flow).unwrap_err());
    damage("UPDATE flows SET name = 'cencus'");
    names_it(reader.flow(flow).unwrap_err());
    names_it(reader.flows(&FlowFilter::default()).unwrap_err());
}

#[test]
fn a_flow_that_is_damaged_keeps_no_other_from_being_listed() {
    let it = Fixture::new();
    let flows: Vec<_> = ["one", "two", "three", "four"].map(|name| it.flow(name, 0).flow()).into();
    let raw = it.raw();
    let damage = "DROP TRIGGER flows_are_final; UPDATE flows SET name = 'rot' WHERE name = 'two';
                  UPDATE flows SET labels = '[' WHERE name = 'four'";
    raw.execute_batch(damage).unwrap();
    let list = it.reader().list_flows(&FlowFilter::default()).unwrap();
    let whole: Vec<_> = list.flows.iter().map(|flow| flow.run).collect();
    assert_eq!(whole, [flows[2], flows[0]]);
    let words: Vec<String> = list.damaged.iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), 2, "{words:?}");
    assert!(words[0].contains(&flows[3].to_string()), "{words:?}");
    assert!(words[1].contains(&flows[1].to_string()), "{words:?}");
    // They count for the limit, so that a page is what it is without them.
    let filter = FlowFilter { limit: 2, ..FlowFilter::default() };
    let list = it.reader().list_flows(&filter).unwrap();
    assert_eq!((list.flows.len(), list.damaged.len()), (1, 1));
}

#[test]
fn what_is_deleted_is_seen_by_nobody() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.stage(&stage(0, "count", true, None));
    let run = whole_run(&journal, key(0, 0), &value("1"), 1);
    end_flow(&journal, &value("2"), 11);
    drop(journal);
    let reader = it.reader();
    let (_, cursor) = reader.events(flow, None, 2).unwrap();
    it.store.delete_flow(flow).unwrap();
    assert_eq!(reader.flow(flow).unwrap(), None);
    assert!(reader.flows(&FlowFilter::default()).unwrap().is_empty());
    for error in [
        reader.events(flow, Some(cursor), 10).map(drop).unwrap_err(),
        reader.outcome(flow, key(0, 0)).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::NoSuchFlow { .. }), "{error}");
    }
    assert!(reader.find_flow("latest").is_err());
    assert!(reader.find_run(&run.to_string()).is_err());
}
