//! Expressions that ask who may: those who decide may have to ask somebody else, and an expression cannot wait. So it is
//! evaluated without the answer, the question is noted, and it is evaluated again when there is one.

use std::mem;

use api_types::expressions::{Authorize, Decision as Answer, Question};
use component::auth::{Attributes, Authorizer, Decision, ResourceAttributes, Target, User};
use parking_lot::Mutex;

/// The questions of one request, and the answers.
#[derive(Debug, Default)]
pub(in crate::admission) struct Asking {
    user: User,
    answers: Mutex<Vec<(Question, Answer)>>,
    open: Mutex<Vec<Question>>,
}

impl Authorize for Asking {
    fn decide(&self, question: &Question) -> Answer {
        if let Some((_, answer)) = self.answers.lock().iter().find(|(known, _)| known == question) {
            return answer.clone();
        }
        let mut open = self.open.lock();
        if !open.contains(question) {
            open.push(question.clone());
        }
        Answer::default()
    }
}

impl Asking {
    /// What a user may do.
    pub(in crate::admission) fn of(user: &User) -> Self {
        Self { user: user.clone(), ..Self::default() }
    }

    /// Has everything answered that is open; false when nothing was.
    pub(super) async fn resolve(&self, authorizer: &dyn Authorizer) -> bool {
        let open = mem::take(&mut *self.open.lock());
        for question in &open {
            let answer = self.ask(question, authorizer).await;
            self.answers.lock().push((question.clone(), answer));
        }
        !open.is_empty()
    }

    async fn ask(&self, question: &Question, authorizer: &dyn Authorizer) -> Answer {
        let account = question.service_account.as_ref().map(|(namespace, name)| {
            let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
            User::authenticated(format!("system:serviceaccount:{namespace}:{name}"), "", groups)
        });
        let target = match &question.path {
            Some(path) => Target::Path(path.as_str().into()),
            None => Target::Resource(ResourceAttributes {
                group: question.group.as_str().into(),
                version: "*".into(),
                namespace: question.namespace.as_str().into(),
                resource: question.resource.as_str().into(),
                subresource: question.subresource.as_str().into(),
                name: question.name.as_str().into(),
                field_selector: question.field_selector.as_str().into(),
                label_selector: question.label_selector.as_str().into(),
            }),
        };
        let user = account.as_ref().unwrap_or(&self.user);
        let verdict = authorizer.authorize(&Attributes { user, verb: question.verb.as_str().into(), target }).await;
        Answer { allowed: verdict.decision == Decision::Allow, reason: verdict.reason, error: verdict.error }
    }
}
