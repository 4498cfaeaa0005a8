use super::*;
use crate::framework::PLUGINS;

const HEAD: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn config(text: &str) -> Result<Configuration, String> {
    parse(&format!("{HEAD}{text}")).map_err(|error| error.to_string())
}

/// `name` for a plugin that filters, `name*weight` for one that scores, `-` for one that does not filter.
fn rows(configuration: &Configuration, profile: &str) -> Vec<String> {
    let rows = configuration.profiles[profile].rows.iter();
    rows.map(|row| {
        let weight = if row.weight == 0 { String::new() } else { format!("*{}", row.weight) };
        format!("{}{}{weight}", if row.filters { "" } else { "-" }, row.plugin.name())
    })
    .collect()
}

fn refused(text: &str) -> String {
    config(text).unwrap_err()
}

#[test]
fn nothing_said_is_the_default() {
    let own = config("").unwrap();
    assert_eq!(own.profiles.keys().collect::<Vec<_>>(), ["default-scheduler"]);
    let names: Vec<&str> = own.profiles["default-scheduler"].rows.iter().map(|row| row.plugin.name()).collect();
    assert_eq!(names, PLUGINS.iter().map(|entry| entry.name).collect::<Vec<_>>());
    assert_eq!((own.backoff, own.kubeconfig), (Backoff::default(), None));
}

#[test]
fn daemons_are_configured() {
    let own = config(
        "parallelism: 16
leaderElection: {leaderElect: false, leaseDuration: 30s, resourceName: other}
clientConnection: {kubeconfig: /etc/scheduler.conf, qps: 50, burst: 100}
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
percentageOfNodesToScore: 30
profiles:
- schedulerName: a
- schedulerName: b
  percentageOfNodesToScore: 0
",
    )
    .unwrap();
    assert_eq!((own.backoff.first.as_secs(), own.backoff.last.as_secs()), (2, 20));
    assert_eq!((own.profiles["a"].percentage, own.profiles["b"].percentage), (Some(30), None));
    assert_eq!(own.kubeconfig.unwrap().to_str(), Some("/etc/scheduler.conf"));
    let election = own.leader_election;
    assert_eq!((election.leader_elect, election.lease_duration.unwrap().as_secs()), (Some(false), 30));
    assert_eq!(election.resource_name.as_deref(), Some("other"));
}

#[test]
fn plugins_are_turned_off_and_on() {
    let one =
        |plugins: &str| rows(&config(&format!("profiles:\n- plugins: {plugins}\n")).unwrap(), "default-scheduler");
    let has = |rows: &[String], row: &str| rows.iter().any(|own| own == row);
    let rows = one("{score: {disabled: [{name: NodeAffinity}], enabled: [{name: NodeResourcesFit, weight: 7}]}}");
    assert!(
        has(&rows, "NodeAffinity") && has(&rows, "NodeResourcesFit*7") && has(&rows, "TaintToleration*3"),
        "{rows:?}"
    );
    let rows = one("{filter: {disabled: [{name: NodePorts}]}}");
    assert!(has(&rows, "-NodePorts"), "{rows:?}");
    let rows = one("{multiPoint: {disabled: [{name: '*'}], enabled: [{name: NodeResourcesFit}, {name: NodeName}]}}");
    assert_eq!(rows, ["NodeResourcesFit*1", "NodeName"]);
    let rows = one("{score: {disabled: [{name: '*'}], enabled: [{name: TaintToleration}]}}");
    assert!(has(&rows, "TaintToleration*1") && has(&rows, "NodeResourcesFit"), "{rows:?}");
    let rows = one("{multiPoint: {disabled: [{name: DefaultPreemption}, {name: PodTopologySpread}]}}");
    assert!(!rows.iter().any(|row| row.contains("PodTopologySpread")), "{rows:?}");
}

#[test]
fn mistakes_are_told_at_once() {
    assert!(parse("kind: Pod").unwrap_err().to_string().contains("apiVersion is null"));
    assert!(refused("parallel: 3").contains("unknown field `parallel`"));
    let both = refused("podInitialBackoffSeconds: 0\npercentageOfNodesToScore: 101\nextenders: [{}]");
    for part in [
        "podInitialBackoffSeconds",
        "percentageOfNodesToScore: Invalid value: 101",
        "extenders[0].urlPrefix: Required value",
    ] {
        assert!(both.contains(part), "{both}");
    }
    let cases = [
        ("profiles: [{schedulerName: a}, {schedulerName: a}]", "profiles[1].schedulerName: Duplicate value: \"a\""),
        ("profiles: [{}, {schedulerName: a}]", "profiles[0].schedulerName: Required value"),
        (
            "profiles: [{plugins: {filter: {enabled: [{name: Mine}]}}}]",
            "profiles[0].plugins.filter.enabled[0].name: Invalid value: \"Mine\": there is no such plugin",
        ),
        ("profiles: [{plugins: {filters: {}}}]", "profiles[0].plugins: Unsupported value: \"filters\""),
        (
            "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]",
            "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0-100]",
        ),
        (
            "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {kind: NodeAffinityArgs}}]}]",
            "profiles[0].pluginConfig[0].args.kind: Invalid value: \"NodeAffinityArgs\"",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoring: 1}}]}]",
            "profiles[0].pluginConfig[0].args: Invalid value: null: decoding args for plugin NodeResourcesFit",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {ignoredResourceGroups: [a/b]}}]}]",
            "args.ignoredResourceGroups[0]: Invalid value: \"a/b\": resource group name can't contain '/'",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {resources: [{name: cpu, weight: 101}]}}}]}]",
            "args.scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range [1, 100]",
        ),
        (
            "profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}}]}]",
            "args.defaultingType: Invalid value: \"System\": when .defaultConstraints are not empty",
        ),
        (
            "profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [{maxSkew: 0, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]}}]}]",
            "args.defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeAffinity, args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}}]}]",
            "args.addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesBalancedAllocation, args: {resources: [{name: cpu, weight: 2}]}}]}]",
            "args.resources[0].weight: Invalid value: 2",
        ),
    ];
    for (text, expected) in cases {
        let message = refused(text);
        assert!(message.contains(expected), "{text}: {message}");
    }
}
