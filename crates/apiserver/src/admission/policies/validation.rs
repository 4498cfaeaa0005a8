//! What a validating policy demands.

use api_types::{
    admissionregistration::{AuditAnnotation, ValidatingAdmissionPolicySpec, Validation},
    expressions::{Admission, Value},
};

use crate::admission::dynamic::{Budget, Composition, Expression, Scope};

/// The longest message that an expression may make, in bytes; upstream's.
const MESSAGE_MAX: usize = 5 << 10;

/// What is demanded, and what is noted.
pub(super) struct Validations {
    rules: Vec<Rule>,
    annotations: Vec<(String, Expression)>,
}

struct Rule {
    expression: Expression,
    computed: Option<Expression>,
    message: String,
    reason: Option<String>,
}

/// What is held against a request, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Objection {
    /// Which of the policy's rules it is.
    pub(super) index: usize,
    pub(super) message: String,
    /// A reason of a `Status`; `None` when something could not be evaluated.
    pub(super) reason: Option<String>,
}

/// What a policy makes of a request.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) objections: Vec<Objection>,
    /// What is to be noted.
    pub(super) annotations: Vec<(String, String)>,
    /// What could not be noted.
    pub(super) unnoted: Vec<String>,
}

impl Validations {
    pub(super) fn compile(
        spec: &ValidatingAdmissionPolicySpec,
        composition: &Composition,
        admission: &Admission,
    ) -> Self {
        let told = admission.without_authorizer();
        let rule = |own: &Validation| {
            let computed = own.message_expression.as_deref().filter(|text| !text.is_empty());
            Rule {
                expression: composition.expression(&own.expression, admission.condition(&own.expression)),
                computed: computed.map(|text| composition.expression(text, told.message(text))),
                message: own.message.as_deref().unwrap_or_default().trim().to_owned(),
                reason: own.reason.clone(),
            }
        };
        let annotation = |own: &AuditAnnotation| {
            let text = own.value_expression.trim();
            (own.key.clone(), composition.expression(text, admission.annotation(text)))
        };
        Self {
            rules: spec.validations.iter().flatten().map(rule).collect(),
            annotations: spec.audit_annotations.iter().flatten().map(annotation).collect(),
        }
    }

    /// Judges a request; what cannot be evaluated is an objection.
    pub(super) async fn judge(&self, scope: &Scope<'_>) -> Judgement {
        let mut judgement = Judgement::default();
        match self.object(scope).await {
            Ok(objections) => judgement.objections = objections,
            Err(why) => {
                judgement.objections.push(Objection { index: 0, message: why, reason: None });
                return judgement;
            }
        }
        let mut budget = Budget::new(Budget::POLICY);
        for (key, expression) in &self.annotations {
            match scope.evaluate(expression, &mut budget).await {
                Err(error) => {
                    judgement.objections = vec![Objection { index: 0, message: error.to_string(), reason: None }];
                    return judgement;
                }
                Ok(Err(why)) => judgement.unnoted.push(why),
                Ok(Ok(Value::String(text))) if !text.trim().is_empty() => {
                    judgement.annotations.push((key.clone(), text.trim().to_owned()));
                }
                Ok(Ok(_)) => {}
            }
        }
        judgement
    }

    async fn object(&self, scope: &Scope<'_>) -> Result<Vec<Objection>, String> {
        let mut budget = Budget::new(Budget::POLICY);
        let mut outcomes = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            let outcome = scope.evaluate(&rule.expression, &mut budget).await.map_err(|error| error.to_string())?;
            outcomes.push(outcome.map(|value| matches!(value, Value::Bool(true))));
        }
        let mut objections = Vec::new();
        for (index, (rule, outcome)) in self.rules.iter().zip(outcomes).enumerate() {
            match outcome {
                Ok(true) => {}
                Err(message) => objections.push(Objection { index, message, reason: None }),
                Ok(false) => objections.push(rule.objection(index, scope, &mut budget).await),
            }
        }
        Ok(objections)
    }
}

impl Rule {
    async fn objection(&self, index: usize, scope: &Scope<'_>, budget: &mut Budget) -> Objection {
        let computed = match &self.computed {
            None => String::new(),
            Some(expression) => match scope.evaluate(expression, budget).await {
                Ok(Ok(Value::String(text))) => text.trim().to_owned(),
                Ok(Ok(_)) => String::new(),
                Ok(Err(why)) => {
                    tracing::debug!("a message cannot be computed: {why}");
                    String::new()
                }
                Err(error) => {
                    return Objection { index, message: format!("failed messageExpression: {error}"), reason: None };
                }
            },
        };
        let usable = computed.len() <= MESSAGE_MAX && !computed.contains('\n');
        let candidates = [Some(computed).filter(|_| usable), Some(self.message.clone())];
        let message = candidates.into_iter().flatten().find(|text| !text.is_empty());
        let message = message.unwrap_or_else(|| format!("failed expression: {}", self.expression.text.trim()));
        let reason = self.reason.clone().unwrap_or_else(|| "Invalid".to_owned());
        Objection { index, message, reason: Some(reason) }
    }
}
