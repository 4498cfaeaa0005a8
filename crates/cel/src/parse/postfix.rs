//! What follows an operand, and what is between brackets.

use std::sync::Arc;

use super::{Parsed, Parser, token::Kind as Token};
use crate::ast::{Entry, Expr, Field, Kind, Literal, operator};

impl Parser<'_> {
    /// An operand with its fields, indices and calls.
    pub(super) fn member(&mut self) -> Parsed {
        let first = self.primary()?;
        self.postfix(first)
    }

    pub(super) fn postfix(&mut self, mut expr: Expr) -> Parsed {
        loop {
            expr = if let Some(at) = self.accept(".")? {
                self.after_dot(at, expr)?
            } else if let Some(at) = self.accept("[")? {
                self.after_bracket(at, expr)?
            } else if self.at_symbol("{") {
                let Some(name) = expr.qualified_name() else { return self.checked(expr) };
                self.object(&name.into())?
            } else {
                return Ok(expr);
            };
            expr = self.checked(expr)?;
        }
    }

    fn after_dot(&mut self, at: u32, operand: Expr) -> Parsed {
        let optional = self.accept("?")?.is_some();
        let field = self.field()?;
        if optional {
            let field = self.build.literal(at, Literal::String(field));
            return Ok(self.build.call(at, operator::OPTIONAL_SELECT, vec![operand, field]));
        }
        match self.accept("(")? {
            Some(open) => {
                let args = self.arguments()?;
                self.call(open, &field, Some(operand), args)
            }
            None => Ok(self.build.expr(at, Kind::Select { operand: Box::new(operand), field, test: false })),
        }
    }

    /// A name, also one that is a reserved word, or one between backticks.
    fn field(&mut self) -> Parsed<Arc<str>> {
        if self.token.kind != Token::Quoted {
            return Ok(self.name()?.text.into());
        }
        if !self.syntax.quoted_fields {
            self.reporter.report(self.token.at, "unsupported syntax: '`'");
        }
        let token = self.advance()?;
        Ok(token.text.trim_matches('`').into())
    }

    fn after_bracket(&mut self, at: u32, operand: Expr) -> Parsed {
        let optional = self.accept("?")?.is_some();
        let index = self.expression()?;
        self.expect("]")?;
        let function = if optional { operator::OPTIONAL_INDEX } else { operator::INDEX };
        Ok(self.build.call(at, function, vec![operand, index]))
    }

    pub(super) fn list(&mut self) -> Parsed {
        let at = self.advance()?.at;
        let mut elements = Vec::new();
        while !self.at_symbol("]") {
            let optional = self.accept("?")?.is_some();
            elements.push((self.expression()?, optional));
            if self.accept(",")?.is_none() {
                break;
            }
        }
        self.expect_end("]")?;
        Ok(self.build.expr(at, Kind::List(elements)))
    }

    pub(super) fn map(&mut self) -> Parsed {
        let at = self.advance()?.at;
        let mut entries = Vec::new();
        while !self.at_symbol("}") {
            let optional = self.accept("?")?.is_some();
            let key = self.expression()?;
            self.expect(":")?;
            let value = self.expression()?;
            entries.push(Entry { key, value, optional });
            if self.accept(",")?.is_none() {
                break;
            }
        }
        self.expect_end("}")?;
        Ok(self.build.expr(at, Kind::Map(entries)))
    }

    fn object(&mut self, name: &Arc<str>) -> Parsed {
        let at = self.advance()?.at;
        let mut fields = Vec::new();
        while !self.at_symbol("}") {
            let optional = self.accept("?")?.is_some();
            let name = self.field()?;
            let at = self.expect(":")?;
            let value = self.expression()?;
            fields.push(Field { at, name, value, optional });
            if self.accept(",")?.is_none() {
                break;
            }
        }
        self.expect_end("}")?;
        Ok(self.build.expr(at, Kind::Struct { name: name.clone(), fields }))
    }
}
