//! Everything that the operator may do in Kubernetes, in one table.
//!
//! `daskflow generate rbac` writes the chart's rights and `docs/rights.md` from it, and an end-to-end test
//! compares what was asked with what is granted. So it has no verb that nothing needs: each row says what
//! needs it.

use crate::api::dask_kubernetes;
use crate::api::{GROUP, Kind};

/// Where a right holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the watched namespaces: in all, where none are named.
    Watched,
    /// In the operator's own namespace.
    Own,
}

/// How a right comes to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// By requests, which an audit log shows.
    Requests,
    /// By requests that come long after their cause: no test waits for them.
    LateRequests,
    /// By an admission plugin that asks for it while it judges a request for something else. No audit log
    /// shows it.
    Admission,
}

/// When a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Where the kinds of dask-kubernetes are served too.
    DaskKubernetes,
}

/// One row: what may be done with some resources.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// Resources by their plural names, with the subresource after a slash.
    pub resources: &'static [&'static str],
    /// What may be done with them.
    pub verbs: &'static [&'static str],
    /// Only with the one object that is called as the operator is.
    pub own_name: bool,
    /// Where.
    pub place: Place,
    /// When.
    pub when: When,
    /// How an audit log shows that it is needed.
    pub used: Use,
    /// What needs it: whole sentences.
    pub why: &'static str,
}

impl Right {
    const fn new(
        group: &'static str,
        resources: &'static [&'static str],
        verbs: &'static [&'static str],
        why: &'static str,
    ) -> Self {
        Self {
            group,
            resources,
            verbs,
            own_name: false,
            place: Place::Watched,
            when: When::Always,
            used: Use::Requests,
            why,
        }
    }

    /// One that is needed only where the kinds of dask-kubernetes are served too.
    const fn of_dask_kubernetes(
        group: &'static str,
        resources: &'static [&'static str],
        verbs: &'static [&'static str],
        why: &'static str,
    ) -> Self {
        Self { when: When::DaskKubernetes, ..Self::new(group, resources, verbs, why) }
    }
}

/// What the operator may do. All of it is namespaced.
pub const RIGHTS: &[Right] = &[
    Right::new(
        GROUP,
        &["flows", "flowbackfills"],
        &["get", "list", "watch"],
        "Users write flows and backfills. Before a run is made, the one that asks for it is read once more by name.",
    ),
    Right::new(
        GROUP,
        &["daskclusters"],
        &["get", "list", "watch", "create", "delete"],
        "Made for runs that have a cluster of their own, and deleted after them or when they are idle.",
    ),
    Right::new(
        GROUP,
        &["flowruns"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "Made for each tick and deleted as the history says. One that a user made gets an owner and labels; one of a \
         backfill that is cancelled is cancelled.",
    ),
    Right::new(GROUP, &Kind::STATUSES, &["patch"], "The status of each object."),
    Right::new(
        "",
        &["pods"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "Schedulers and workers. They are replaced and never changed, but for an annotation on a worker that waits for \
         its tasks, and for the time limit by which sidecars end with their runner.",
    ),
    Right::new(
        "",
        &["services"],
        &["get", "list", "watch", "create", "patch"],
        "The address of each scheduler. It is deleted with its cluster.",
    ),
    Right::new(
        "networking.k8s.io",
        &["networkpolicies"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "Who may reach a cluster; deleted when its spec asks for no policy any more.",
    ),
    Right::new(
        "",
        &["configmaps"],
        &["get", "list", "watch", "create"],
        "The code of flows, which runs mount; never changed once written. Only their metadata is kept in memory. A \
         user's ConfigMap with code is read by its name.",
    ),
    Right {
        used: Use::LateRequests,
        ..Right::new(
            "",
            &["configmaps"],
            &["delete"],
            "Code of a Flow that no run mounts any more is deleted, ten minutes after it was made at the earliest.",
        )
    },
    Right::new(
        "",
        &["secrets"],
        &["get", "create", "update", "delete"],
        "Certificates of clusters with TLS and of Flows with a tls:// address; logins of Dask Gateways, and certificates of \
         their clusters. Each is read by its name, none is listed or watched. Our own are made, renewed and, once no pod \
         has them, deleted.",
    ),
    Right::new(
        "cert-manager.io",
        &["certificates"],
        &["get", "create", "patch", "delete"],
        "Asks cert-manager for the certificate of a cluster whose spec asks for it; it is deleted when the spec no longer does.",
    ),
    Right::new(
        "batch",
        &["jobs"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "One for each attempt of a run; replaced and never changed, but for its time limit when a flow's timeout is edited.",
    ),
    Right::new(
        "events.k8s.io",
        &["events"],
        &["create", "patch"],
        "What kubectl describe shows. One that repeats is counted on instead of written again.",
    ),
    Right {
        used: Use::Admission,
        ..Right::new(
            GROUP,
            &["daskclusters/finalizers", "flows/finalizers", "flowruns/finalizers"],
            &["update"],
            "What the operator creates names its owner with blockOwnerDeletion. Where the admission plugin \
             OwnerReferencesPermissionEnforcement is on, as in OpenShift, that takes this right. It is never requested.",
        )
    },
    Right {
        place: Place::Own,
        ..Right::new(
            "coordination.k8s.io",
            &["leases"],
            &["create"],
            "The lease of the replica that leads. What is created has no name yet that a rule could ask for.",
        )
    },
    Right {
        place: Place::Own,
        own_name: true,
        ..Right::new(
            "coordination.k8s.io",
            &["leases"],
            &["get", "update"],
            "The lease is read and renewed: the one of this operator and no other.",
        )
    },
    Right::of_dask_kubernetes(
        dask_kubernetes::GROUP,
        &dask_kubernetes::PLURALS,
        &["get", "list", "watch", "patch"],
        "Users write them. A group and an autoscaler get their cluster as owner; where a status has no resource of its own, \
         it is a part of the object.",
    ),
    Right::of_dask_kubernetes(
        dask_kubernetes::GROUP,
        &["daskclusters", "daskworkergroups"],
        &["create"],
        "The cluster of a DaskJob, and the default group of each cluster.",
    ),
    Right::of_dask_kubernetes(
        dask_kubernetes::GROUP,
        &["daskclusters"],
        &["delete"],
        "One that is idle for longer than its idleTimeout, and that of a DaskJob that has ended.",
    ),
    Right::of_dask_kubernetes(
        dask_kubernetes::GROUP,
        &["daskclusters/status", "daskjobs/status"],
        &["patch"],
        "The status of each, where the definition of its kind has a resource for it.",
    ),
    Right::of_dask_kubernetes(
        GROUP,
        &["daskclusters"],
        &["update"],
        "The cluster of ours that stands for one of theirs follows it.",
    ),
    Right::of_dask_kubernetes(
        "apps",
        &["deployments"],
        &["get", "list", "watch", "create", "delete"],
        "One shows each pod of their clusters, and controls nothing. It is never changed: it is deleted and made again.",
    ),
    Right::of_dask_kubernetes(
        "",
        &["services"],
        &["delete"],
        "The Service beside the scheduler's, when the DaskCluster asks for none any more.",
    ),
    Right {
        used: Use::Admission,
        ..Right::of_dask_kubernetes(
            dask_kubernetes::GROUP,
            &["daskworkergroups", "daskautoscalers"],
            &["delete"],
            "One that users write gets its cluster as owner, for which OwnerReferencesPermissionEnforcement takes this right. It is never \
             requested.",
        )
    },
    Right {
        used: Use::Admission,
        ..Right::of_dask_kubernetes(
            dask_kubernetes::GROUP,
            &["daskclusters/finalizers", "daskjobs/finalizers", "daskworkergroups/finalizers"],
            &["update"],
            "What the operator creates for them names its owner with blockOwnerDeletion. It is never requested.",
        )
    },
];

/// What the users of a namespace may do with our kinds, added to the roles that every Kubernetes has.
#[derive(Clone, Copy, Debug)]
pub struct UserRole {
    /// What the `ClusterRole`'s name ends with.
    pub name: &'static str,
    /// The roles of Kubernetes that it is added to.
    pub added_to: &'static [&'static str],
    /// Resources and verbs, all of our group.
    pub rules: &'static [(&'static [&'static str], &'static [&'static str])],
    /// The same of the group of dask-kubernetes, where its kinds are served too.
    pub dask_kubernetes: &'static [(&'static [&'static str], &'static [&'static str])],
    /// For whom it is.
    pub why: &'static str,
}

/// The kinds of users.
pub const USER_ROLES: &[UserRole] = &[
    UserRole {
        name: "view",
        added_to: &["view", "edit", "admin"],
        rules: &[(&Kind::PLURALS, &["get", "list", "watch"])],
        dask_kubernetes: &[(&dask_kubernetes::PLURALS, &["get", "list", "watch"])],
        why: "Whoever may view a namespace may see its flows, runs and clusters.",
    },
    UserRole {
        name: "edit",
        added_to: &["edit", "admin"],
        rules: &[
            (&Kind::PLURALS, &["create", "update", "patch", "delete", "deletecollection"]),
            (&["daskclusters/scale"], &["get", "update", "patch"]),
        ],
        dask_kubernetes: &[
            (&dask_kubernetes::PLURALS, &["create", "update", "patch", "delete", "deletecollection"]),
            (&["daskclusters/scale", "daskworkergroups/scale"], &["get", "update", "patch"]),
        ],
        why: "Whoever may edit a namespace may write them, run a flow now, and scale a cluster. That is no more than \
              before: who may create pods in a namespace may use all that its pods may use.",
    },
];

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::*;
    use crate::api::{DaskCluster, crds};

    fn verbs_of(group: &str, resource: &str) -> Vec<&'static str> {
        let rows = RIGHTS.iter().filter(|right| right.group == group && right.resources.contains(&resource));
        rows.flat_map(|right| right.verbs.iter().copied()).collect()
    }

    #[test]
    fn no_row_grants_more_than_it_names() {
        for right in RIGHTS {
            let words = [right.resources, right.verbs].concat();
            assert!(words.iter().chain([&right.group]).all(|word| !word.contains('*')), "{right:?}");
            assert!(right.why.ends_with('.'), "{right:?}");
        }
    }

    #[test]
    fn no_verb_is_granted_twice() {
        for right in RIGHTS {
            for resource in right.resources {
                let mut verbs = verbs_of(right.group, resource);
                let all = verbs.len();
                verbs.sort_unstable();
                verbs.dedup();
                assert_eq!(verbs.len(), all, "{resource}");
            }
        }
    }

    /// Rights of these kinds would be as good as all rights.
    #[test]
    fn what_leads_to_all_rights_is_not_granted() {
        let secrets = verbs_of("", "secrets");
        assert!(
            !secrets.iter().any(|verb| ["list", "watch", "deletecollection"].contains(verb)),
            "{secrets:?}"
        );
        let none = [
            "nodes",
            "namespaces",
            "serviceaccounts",
            "serviceaccounts/token",
            "pods/exec",
            "pods/ephemeralcontainers",
        ];
        for resource in none {
            assert_eq!(verbs_of("", resource), Vec::<&str>::new(), "{resource}");
        }
        assert!(!RIGHTS.iter().any(|right| right.group == "rbac.authorization.k8s.io"));
    }

    #[test]
    fn every_kind_is_watched_and_told_of() {
        for crd in crds() {
            let plural = crd.spec.names.plural;
            assert!(["list", "watch"].iter().all(|verb| verbs_of(GROUP, &plural).contains(verb)), "{plural}");
            assert_eq!(verbs_of(GROUP, &format!("{plural}/status")), ["patch"]);
            for role in USER_ROLES {
                assert!(
                    role.rules.iter().any(|(resources, _)| resources.contains(&plural.as_str())),
                    "{role:?}"
                );
            }
        }
    }

    /// Without the kinds of dask-kubernetes nothing is asked of its group, and nothing more of ours.
    #[test]
    fn what_is_for_dask_kubernetes_is_needed_for_nothing_else() {
        for right in RIGHTS.iter().filter(|right| right.group == dask_kubernetes::GROUP) {
            assert_eq!(right.when, When::DaskKubernetes, "{right:?}");
        }
        for plural in dask_kubernetes::PLURALS {
            let verbs = verbs_of(dask_kubernetes::GROUP, plural);
            assert!(["list", "watch"].iter().all(|verb| verbs.contains(verb)), "{plural}: {verbs:?}");
        }
    }

    #[test]
    fn what_users_scale_has_a_scale() {
        let scaled = DaskCluster::crd()
            .spec
            .versions
            .iter()
            .any(|version| version.subresources.as_ref().is_some_and(|all| all.scale.is_some()));
        assert!(scaled);
    }
}
