use sandmill_test_prefect::Scenario;
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![]
}
