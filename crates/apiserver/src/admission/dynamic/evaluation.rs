//! Expressions about a request, evaluated within bounds.

use std::{collections::HashMap, sync::Arc};

use api_types::expressions::{CALL_COST, EvaluationError, Meter, Numbers, Program, Question, Value, Variables};
use component::auth::Authorizer;
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::Asking;

/// An expression, compiled when its object was read.
pub(in crate::admission) struct Expression {
    pub(in crate::admission) text: String,
    program: Result<Program, String>,
    /// The variables of which it speaks, by their places.
    uses: Vec<usize>,
}

/// Variables that a policy defines, each by those before it.
#[derive(Default)]
pub(in crate::admission) struct Composition {
    places: HashMap<String, usize>,
    variables: Vec<(String, Expression)>,
}

impl Composition {
    /// An expression that may speak of the variables so far.
    pub(in crate::admission) fn expression(&self, text: &str, program: Result<Program, String>) -> Expression {
        let used = program.as_ref().map(|program| program.selected(VARIABLES)).unwrap_or_default();
        let uses = used.iter().filter_map(|name| self.places.get(&**name).copied()).collect();
        Expression { text: text.to_owned(), program, uses }
    }

    /// One more variable.
    pub(in crate::admission) fn add(&mut self, name: &str, text: &str, program: Result<Program, String>) {
        let expression = self.expression(text, program);
        self.places.insert(name.to_owned(), self.variables.len());
        self.variables.push((name.to_owned(), expression));
    }
}

const VARIABLES: &str = "variables";

/// What expressions about a request see.
#[derive(Clone, Copy)]
pub(in crate::admission) struct Visible<'a> {
    pub(in crate::admission) object: &'a Json,
    pub(in crate::admission) old: &'a Json,
    pub(in crate::admission) request: &'a Json,
    pub(in crate::admission) namespace: &'a Json,
    /// `None` where there is no such variable.
    pub(in crate::admission) params: Option<&'a Json>,
}

/// What is left of what may be spent.
#[derive(Debug)]
pub(in crate::admission) struct Budget(u64);

impl Budget {
    /// For the expressions of a policy, and for those under which it applies; upstream's.
    pub(in crate::admission) const POLICY: u64 = 10_000_000;
    pub(in crate::admission) const CONDITIONS: u64 = 2_500_000;

    pub(in crate::admission) fn new(limit: u64) -> Self {
        Self(limit)
    }

    fn spend(&mut self, cost: u64) -> Result<(), OutOfBudget> {
        self.0 = self.0.checked_sub(cost).ok_or(OutOfBudget)?;
        Ok(())
    }
}

/// Nothing further is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("validation failed due to running out of cost budget, no further validation rules will be run")]
pub(in crate::admission) struct OutOfBudget;

/// The value of an expression, or why it has none.
pub(in crate::admission) type Outcome<'a> = Result<Value<'a>, String>;

/// A variable that was evaluated.
struct Known<'a> {
    value: Result<Value<'a>, EvaluationError>,
    /// What it cost, without the variables that it uses itself.
    cost: u64,
    /// What it used.
    used: Vec<usize>,
    /// Whether somebody has paid.
    paid: bool,
}

/// The variables of one policy for one request, known as far as they were needed.
///
/// A variable is evaluated before the expression that speaks of it, whether it gets there or not: an expression that
/// evaluates others in its midst would nest as deep as a policy is long. An error in it is one only where it is used, and
/// only who uses it pays.
pub(in crate::admission) struct Scope<'a> {
    visible: Visible<'a>,
    composition: &'a Composition,
    asking: Arc<Asking>,
    authorizer: &'a dyn Authorizer,
    /// What `authorizer.requestResource` asks about.
    resource: Question,
    known: Mutex<HashMap<usize, Known<'a>>>,
    /// Variables that the expression used which is being evaluated.
    used: Mutex<Vec<usize>>,
    /// What may be spent on variables that nobody comes to use.
    ahead: Mutex<Budget>,
}

impl<'a> Scope<'a> {
    pub(in crate::admission) fn new(
        visible: Visible<'a>,
        composition: &'a Composition,
        asking: &Arc<Asking>,
        authorizer: &'a dyn Authorizer,
    ) -> Self {
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let request = visible.request;
        let resource = Question {
            group: text(&request["requestResource"]["group"]),
            resource: text(&request["requestResource"]["resource"]),
            subresource: text(&request["requestSubResource"]),
            namespace: text(&request["namespace"]),
            name: text(&request["name"]),
            ..Question::default()
        };
        Self {
            visible,
            composition,
            asking: asking.clone(),
            authorizer,
            resource,
            known: Mutex::default(),
            used: Mutex::default(),
            ahead: Mutex::new(Budget::new(Budget::POLICY)),
        }
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// When it costs more than is left.
    pub(in crate::admission) async fn evaluate(
        &self,
        expression: &Expression,
        budget: &mut Budget,
    ) -> Result<Outcome<'a>, OutOfBudget> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(why) => return Ok(Err(format!("compilation error: {why}"))),
        };
        self.prepare(&expression.uses).await?;
        let (value, cost, used) = self.evaluate_one(program).await;
        budget.spend(cost.saturating_add(self.charge(used)))?;
        Ok(value.map_err(|error| format!("expression '{}' resulted in error: {error}", expression.text)))
    }

    /// Evaluates a program until all that it asks is answered. It can ask no more than its cost allows.
    async fn evaluate_one(&self, program: &Program) -> (Result<Value<'a>, EvaluationError>, u64, Vec<usize>) {
        loop {
            self.used.lock().clear();
            let evaluated = {
                let meter = Meter::new(CALL_COST);
                let value = program.evaluate(self, &meter);
                (value, meter.cost(), std::mem::take(&mut *self.used.lock()))
            };
            if !self.asking.resolve(self.authorizer).await {
                return evaluated;
            }
        }
    }

    /// Evaluates these variables and those that they use, the first first.
    async fn prepare(&self, uses: &[usize]) -> Result<(), OutOfBudget> {
        let mut wanted: Vec<usize> = Vec::new();
        let mut open: Vec<usize> = uses.to_vec();
        let mut seen = std::collections::HashSet::new();
        while let Some(place) = open.pop() {
            if !self.known.lock().contains_key(&place) && seen.insert(place) {
                wanted.push(place);
                open.extend(&self.composition.variables[place].1.uses);
            }
        }
        wanted.sort_unstable();
        for place in wanted {
            let (_, expression) = &self.composition.variables[place];
            let (value, cost, used) = match &expression.program {
                Ok(program) => self.evaluate_one(program).await,
                Err(why) => (Err(EvaluationError::new(format!("compilation error: {why}"))), 0, Vec::new()),
            };
            self.ahead.lock().spend(cost)?;
            self.known.lock().insert(place, Known { value, cost, used, paid: false });
        }
        Ok(())
    }

    /// What variables cost that were used and that nobody has paid yet.
    fn charge(&self, mut used: Vec<usize>) -> u64 {
        let mut known = self.known.lock();
        let mut sum: u64 = 0;
        while let Some(place) = used.pop() {
            if let Some(variable) = known.get_mut(&place).filter(|variable| !variable.paid) {
                variable.paid = true;
                sum = sum.saturating_add(variable.cost);
                used.extend(&variable.used);
            }
        }
        sum
    }
}

impl<'a> Variables<'a> for Scope<'a> {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, EvaluationError>> {
        let json = |json: &'a Json| Some(Ok(Value::from_json(json, Numbers::Natural)));
        match name {
            "object" => json(self.visible.object),
            "oldObject" => json(self.visible.old),
            "request" => json(self.visible.request),
            "namespaceObject" => json(self.visible.namespace),
            "params" => self.visible.params.and_then(json),
            "authorizer" => Some(Ok(Value::authorizer(self.asking.clone()))),
            "authorizer.requestResource" => Some(Ok(Value::resource_check(self.asking.clone(), self.resource.clone()))),
            _ => None,
        }
    }

    fn field(&self, variable: &str, field: &str) -> Option<Result<Value<'a>, EvaluationError>> {
        let place = *self.composition.places.get(field).filter(|_| variable == VARIABLES)?;
        self.used.lock().push(place);
        let known = self.known.lock();
        let value = known.get(&place).map(|known| known.value.clone())?;
        Some(
            value.map_err(|error| {
                EvaluationError::new(format!("composited variable {field:?} fails to evaluate: {error}"))
            }),
        )
    }
}
