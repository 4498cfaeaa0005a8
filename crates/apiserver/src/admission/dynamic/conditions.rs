//! Conditions under which somebody is asked about a request.

use api_types::{
    admissionregistration::MatchCondition,
    expressions::{Admission, Value},
};

use super::{Budget, Composition, Expression, Scope};

/// Conditions that all have to hold.
pub(in crate::admission) struct Conditions(Vec<Expression>);

/// Whether conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admission) enum Held {
    /// All of them.
    Yes,
    /// One does not, whatever is wrong with others.
    No,
    /// Some cannot be evaluated.
    Unknown(String),
}

impl Conditions {
    /// Compiles conditions.
    pub(in crate::admission) fn compile(conditions: &[MatchCondition], admission: &Admission) -> Self {
        let none = Composition::default();
        let compile = |own: &MatchCondition| none.expression(&own.expression, admission.condition(&own.expression));
        Self(conditions.iter().map(compile).collect())
    }

    /// Whether there is nothing to evaluate.
    pub(in crate::admission) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether they hold.
    pub(in crate::admission) async fn hold(&self, scope: &Scope<'_>) -> Held {
        let mut budget = Budget::new(Budget::CONDITIONS);
        let mut outcomes = Vec::with_capacity(self.0.len());
        for condition in &self.0 {
            match scope.evaluate(condition, &mut budget).await {
                Ok(outcome) => outcomes.push(outcome.map(|value| matches!(value, Value::Bool(true)))),
                Err(error) => return Held::Unknown(error.to_string()),
            }
        }
        if outcomes.contains(&Ok(false)) {
            return Held::No;
        }
        let mut errors: Vec<String> = Vec::new();
        for error in outcomes.into_iter().filter_map(Result::err) {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        match errors.len() {
            0 => Held::Yes,
            1 => Held::Unknown(errors.remove(0)),
            _ => Held::Unknown(format!("[{}]", errors.join(", "))),
        }
    }
}
