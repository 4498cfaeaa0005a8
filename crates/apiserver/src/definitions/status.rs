//! What a definition's status says.

use api_types::{
    StatusError,
    apiextensions::{
        CustomResourceDefinition, CustomResourceDefinitionCondition as Condition, CustomResourceDefinitionNames,
        CustomResourceDefinitionStatus,
    },
    custom::Approval,
    meta::Time,
};

use super::naming::Conflict;
use crate::registry::{
    Change, Changed, Part, Registry, Rest, Stored, Target, Write,
    own::{loopback_user, own_options},
    strategy::now,
};

const NAMES_ACCEPTED: &str = "NamesAccepted";
/// It is served.
pub const ESTABLISHED: &str = "Established";
/// It is being deleted, with all of its objects.
pub const TERMINATING: &str = "Terminating";
const APPROVED: &str = "KubernetesAPIApprovalPolicyConformant";
const TRUE: &str = "True";
const FALSE: &str = "False";

/// A condition without its time.
pub fn condition(kind: &str, status: bool, reason: &str, message: impl Into<String>) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: if status { TRUE } else { FALSE }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.into()),
        last_transition_time: None,
        observed_generation: None,
    }
}

/// Whether a condition is true.
pub fn is_true(status: Option<&CustomResourceDefinitionStatus>, kind: &str) -> bool {
    let mut conditions = status.into_iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == kind && condition.status == TRUE)
}

/// Puts a condition in place; the time is that of the last change of its status.
fn set(conditions: &mut Vec<Condition>, mut condition: Condition) {
    let place = conditions.iter_mut().find(|other| other.type_ == condition.type_);
    let same = place.as_ref().filter(|other| other.status == condition.status);
    condition.last_transition_time = same.map_or_else(|| Some(Time(now())), |other| other.last_transition_time.clone());
    match place {
        Some(place) => *place = condition,
        None => conditions.push(condition),
    }
}

/// What a status is to say.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    names: Option<CustomResourceDefinitionNames>,
    conditions: Vec<Condition>,
}

impl Wanted {
    /// What the names and the annotations of a definition lead to.
    pub fn of(
        definition: &CustomResourceDefinition,
        names: &CustomResourceDefinitionNames,
        conflict: Option<&Conflict>,
    ) -> Self {
        let established = is_true(definition.status.as_ref(), ESTABLISHED);
        let accepted = match conflict {
            None => condition(NAMES_ACCEPTED, true, "NoConflicts", "no conflicts found"),
            Some(conflict) => condition(NAMES_ACCEPTED, false, conflict.reason, conflict.message.clone()),
        };
        let mut conditions = vec![accepted];
        match conflict {
            // Once established, it stays so.
            _ if established => {}
            None => {
                let message = "the initial names have been accepted";
                conditions.push(condition(ESTABLISHED, true, "InitialNamesAccepted", message));
            }
            Some(_) => conditions.push(condition(ESTABLISHED, false, "NotAccepted", "not all names are accepted")),
        }
        conditions.extend(approval(definition));
        Self { names: Some(names.clone()), conditions }
    }

    /// One condition, and nothing else.
    pub fn condition(condition: Condition) -> Self {
        Self { names: None, conditions: vec![condition] }
    }

    /// Whether a status says so already.
    pub fn is_said(&self, status: Option<&CustomResourceDefinitionStatus>) -> bool {
        let before = status.cloned().unwrap_or_default();
        self.told(before.clone()) == before
    }

    fn told(&self, mut status: CustomResourceDefinitionStatus) -> CustomResourceDefinitionStatus {
        if let Some(names) = &self.names {
            status.accepted_names = Some(names.clone());
        }
        let conditions = status.conditions.get_or_insert_default();
        self.conditions.iter().for_each(|condition| set(conditions, condition.clone()));
        status
    }
}

/// What is said of definitions in groups of the Kubernetes project.
fn approval(definition: &CustomResourceDefinition) -> Option<Condition> {
    let approval = Approval::of(definition)?;
    let reason = match approval {
        Approval::Missing => "MissingAnnotation",
        Approval::Malformed => "InvalidAnnotation",
        Approval::Bypassed => "UnapprovedAnnotation",
        Approval::Given => "ApprovedAnnotation",
    };
    let message = approval.explained(definition);
    Some(condition(APPROVED, approval == Approval::Given, reason, message))
}

struct Say<'a>(&'a Wanted);

impl Change for Say<'_> {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut object = current.object.clone_object();
        let definition = object.expect_mut::<CustomResourceDefinition>("CustomResourceDefinition")?;
        let before = definition.status.take().unwrap_or_default();
        definition.status = Some(self.0.told(before));
        Ok(object.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}

/// Says it in a definition, unless that is gone.
///
/// # Errors
/// The store's.
pub async fn write(registry: &Registry, definitions: &Rest, name: &str, wanted: &Wanted) -> Result<(), StatusError> {
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    let target = Target { namespace: "", name };
    match registry.update(definitions, &write, target, Part::Status, &Say(wanted)).await {
        Err(error) if error.reason() != "NotFound" => Err(error),
        _ => Ok(()),
    }
}
