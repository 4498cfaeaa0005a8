//! Text to expressions: a recursive descent over [CEL's grammar](https://github.com/google/cel-spec), bounded in depth.

mod build;
mod literal;
mod macros;
mod postfix;
mod token;

use std::sync::Arc;

use build::Build;
use token::{Kind as Token, Token as Piece};

use crate::{
    ast::{Expr, Kind, Literal, operator},
    issues::{Issue, Issues, Reporter, nowhere},
};

/// How deeply expressions may be nested, as upstream's are.
pub const MAX_DEPTH: u16 = 250;
/// How long a text may be, in bytes: cel-go's limit is in characters.
const MAX_LENGTH: usize = 100_000;

const PRIMARY: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
                       BYTES, IDENTIFIER}";
/// Words that name nothing: keywords of languages that expressions are often written in.
pub const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
/// Operators of two operands, how tightly they bind, and the functions they are. Those of one level bind from the left.
const BINARY: [(&str, u8, &str); 14] = [
    ("||", 0, operator::OR),
    ("&&", 1, operator::AND),
    ("<", 2, "_<_"),
    ("<=", 2, "_<=_"),
    (">=", 2, "_>=_"),
    (">", 2, "_>_"),
    ("==", 2, operator::EQUALS),
    ("!=", 2, "_!=_"),
    ("in", 2, operator::IN),
    ("+", 3, operator::ADD),
    ("-", 3, "_-_"),
    ("*", 4, "_*_"),
    ("/", 4, "_/_"),
    ("%", 4, "_%_"),
];

/// What else an expression may have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Syntax {
    /// Fields between backticks.
    pub quoted_fields: bool,
    /// `cel.bind`
    pub bindings: bool,
}

/// The expression that the text is.
///
/// # Errors
/// Everything that is wrong up to the first piece that cannot be understood.
pub(crate) fn parse(text: &str, syntax: Syntax) -> Result<Expr, Issues> {
    if text.len() > MAX_LENGTH {
        let message = format!("expression code point size exceeds limit: size: {}, limit {MAX_LENGTH}", text.len());
        return Err(Issues(vec![nowhere(message)]));
    }
    let end = Piece { kind: Token::End, text: "", at: 0 };
    let reporter = Reporter::new(text);
    let mut parser =
        Parser { text, syntax, token: end, after: 0, depth: 0, pending: 0, build: Build::default(), reporter };
    match parser.whole() {
        Ok(expr) => parser.reporter.finish().map(|()| expr),
        Err(Stop::Syntax) => {
            parser.reporter.finish()?;
            Err(Issues(Vec::new()))
        }
        Err(Stop::Depth) => Err(Issues(vec![deep()])),
    }
}

fn deep() -> Issue {
    nowhere(format!("expression recursion limit exceeded: {MAX_DEPTH}"))
}

/// Why it does not go on.
enum Stop {
    /// It was reported.
    Syntax,
    Depth,
}

type Parsed<T = Expr> = Result<T, Stop>;

struct Parser<'a> {
    text: &'a str,
    syntax: Syntax,
    token: Piece<'a>,
    /// Where the text goes on after the token.
    after: usize,
    /// How many expressions are begun, each within the one before.
    depth: u16,
    /// How many operators wait for their right operand.
    pending: u16,
    build: Build,
    reporter: Reporter<'a>,
}

impl<'a> Parser<'a> {
    fn whole(&mut self) -> Parsed {
        self.advance()?;
        let expr = self.expression()?;
        if self.token.kind == Token::End {
            return Ok(expr);
        }
        let last = token::next(self.text, self.after).is_ok_and(|(next, _)| next.kind == Token::End);
        let problem = if last { "extraneous" } else { "mismatched" };
        self.syntax_error(format!("{problem} input '{}' expecting <EOF>", self.token.text))
    }

    fn advance(&mut self) -> Parsed<Piece<'a>> {
        let passed = self.token;
        match token::next(self.text, self.after) {
            Ok((token, after)) => (self.token, self.after) = (token, after),
            Err(piece) => {
                self.token = piece;
                return self.syntax_error(format!("token recognition error at: '{}'", piece.text));
            }
        }
        Ok(passed)
    }

    fn syntax_error<T>(&mut self, message: String) -> Parsed<T> {
        self.reporter.report(self.token.at, format!("Syntax error: {message}"));
        Err(Stop::Syntax)
    }

    fn shown(&self) -> &'a str {
        if self.token.kind == Token::End { "<EOF>" } else { self.token.text }
    }

    fn at_symbol(&self, symbol: &str) -> bool {
        self.token.kind == Token::Symbol && self.token.text == symbol
    }

    /// Passes the symbol if it is next, and tells where it was.
    fn accept(&mut self, symbol: &str) -> Parsed<Option<u32>> {
        if self.at_symbol(symbol) { self.advance().map(|passed| Some(passed.at)) } else { Ok(None) }
    }

    fn expect(&mut self, symbol: &str) -> Parsed<u32> {
        if let Some(at) = self.accept(symbol)? {
            return Ok(at);
        }
        // Whether it could go on as if the symbol were there.
        let missing = match symbol {
            ":" => !matches!(self.token.kind, Token::Symbol | Token::End),
            _ => self.token.kind == Token::End,
        };
        if missing {
            return self.syntax_error(format!("missing '{symbol}' at '{}'", self.shown()));
        }
        self.syntax_error(format!("mismatched input '{}' expecting '{symbol}'", self.shown()))
    }

    /// The end of what is separated by commas.
    fn expect_end(&mut self, symbol: &str) -> Parsed<u32> {
        match self.accept(symbol)? {
            Some(at) => Ok(at),
            None => self.syntax_error(format!("mismatched input '{}' expecting {{'{symbol}', ','}}", self.shown())),
        }
    }

    /// Anything, one level deeper.
    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Stop::Depth);
        }
        let condition = self.operators(0)?;
        let expr = match self.accept("?")? {
            None => condition,
            Some(at) => {
                let then = self.operators(0)?;
                self.expect(":")?;
                let otherwise = self.expression()?;
                self.build.call(at, operator::CONDITIONAL, vec![condition, then, otherwise])
            }
        };
        self.depth -= 1;
        self.checked(expr)
    }

    /// Refuses what is nested too deeply, whether it looks so or not: `a + a + a`.
    fn checked(&self, expr: Expr) -> Parsed {
        if expr.height > MAX_DEPTH { Err(Stop::Depth) } else { Ok(expr) }
    }

    /// Operands between operators that bind as tightly as this or tighter.
    fn operators(&mut self, loosest: u8) -> Parsed {
        let mut left = self.unary()?;
        while let Some((_, level, function)) = self.operator().filter(|(_, level, _)| *level >= loosest) {
            left = match level {
                0 | 1 => self.logical(left, level, function)?,
                _ => {
                    let at = self.advance()?.at;
                    let right = self.right(level + 1)?;
                    self.build.call(at, function, vec![left, right])
                }
            };
            left = self.checked(left)?;
        }
        Ok(left)
    }

    /// What is to the right of an operator, and one level deeper than that.
    fn right(&mut self, loosest: u8) -> Parsed {
        self.pending += 1;
        if self.pending > MAX_DEPTH {
            return Err(Stop::Depth);
        }
        let right = self.operators(loosest)?;
        self.pending -= 1;
        Ok(right)
    }

    /// The operator that is next.
    fn operator(&self) -> Option<(&'static str, u8, &'static str)> {
        let symbol = self.token.kind == Token::Symbol;
        BINARY.into_iter().find(|(sign, ..)| symbol && *sign == self.token.text)
    }

    /// A chain of `&&` or `||`, which becomes a balanced tree, so that long ones are not deep.
    fn logical(&mut self, first: Expr, level: u8, function: &'static str) -> Parsed {
        let mut terms = vec![Some(first)];
        let mut places = Vec::new();
        while self.operator().is_some_and(|(_, next, _)| next == level) {
            places.push(self.advance()?.at);
            terms.push(Some(self.right(level + 1)?));
        }
        self.build.balanced(function, &mut terms, &places).ok_or(Stop::Depth)
    }

    /// Signs in front. Two of them are none.
    fn unary(&mut self) -> Parsed {
        let first = self.token;
        let function = match first.text {
            "!" => operator::NOT,
            "-" => operator::NEGATE,
            _ => return self.member(),
        };
        if first.kind != Token::Symbol {
            return self.member();
        }
        let mut count = 0_usize;
        while self.at_symbol(first.text) {
            count += 1;
            self.advance()?;
        }
        let number = matches!(self.token.kind, Token::Int | Token::Double);
        if first.text == "-" && number {
            count -= 1;
            let mut literal = self.number(true)?;
            literal.at = first.at;
            let operand = self.postfix(literal)?;
            return Ok(self.signs(first.at, function, count, operand));
        }
        let operand = self.member()?;
        Ok(self.signs(first.at, function, count, operand))
    }

    fn signs(&mut self, at: u32, function: &str, count: usize, operand: Expr) -> Expr {
        if count.is_multiple_of(2) { operand } else { self.build.call(at, function, vec![operand]) }
    }

    fn number(&mut self, negative: bool) -> Parsed {
        let token = self.advance()?;
        let value = literal::literal(&token, negative).unwrap_or_else(|message| {
            self.reporter.report(token.at, message);
            Literal::Null
        });
        Ok(self.build.literal(token.at, value))
    }

    fn primary(&mut self) -> Parsed {
        let token = self.token;
        match (token.kind, token.text) {
            (Token::Int | Token::Uint | Token::Double | Token::String | Token::Bytes, _) => self.number(false),
            (Token::Symbol, "true" | "false") => {
                self.advance()?;
                Ok(self.build.literal(token.at, Literal::Bool(token.text == "true")))
            }
            (Token::Symbol, "null") => {
                self.advance()?;
                Ok(self.build.literal(token.at, Literal::Null))
            }
            (Token::Symbol, "(") => {
                self.advance()?;
                let inside = self.expression()?;
                self.expect(")")?;
                Ok(inside)
            }
            (Token::Symbol, "[") => self.list(),
            (Token::Symbol, "{") => self.map(),
            (Token::Symbol, ".") | (Token::Ident, _) => self.named(),
            _ => {
                let next = token::next(self.text, self.after).map(|(next, _)| next.kind).unwrap_or(Token::End);
                let goes_on = token.kind == Token::Symbol && !matches!(next, Token::Symbol | Token::End);
                let problem = if goes_on { "extraneous" } else { "mismatched" };
                self.syntax_error(format!("{problem} input '{}' expecting {PRIMARY}", self.shown()))
            }
        }
    }

    /// A variable, a call, or the first name of an object's type.
    fn named(&mut self) -> Parsed {
        let dot = self.accept(".")?;
        let token = self.name()?;
        let at = dot.unwrap_or(token.at);
        if RESERVED.contains(&token.text) {
            self.reporter.report(token.at, format!("reserved identifier: {}", token.text));
        }
        let name: Arc<str> = if dot.is_some() { format!(".{}", token.text).into() } else { token.text.into() };
        match self.accept("(")? {
            Some(open) => {
                let args = self.arguments()?;
                self.call(open, &name, None, args)
            }
            None => Ok(self.build.expr(at, Kind::Ident(name))),
        }
    }

    fn name(&mut self) -> Parsed<Piece<'a>> {
        match self.token.kind {
            Token::Ident => self.advance(),
            _ => self.syntax_error(format!("mismatched input '{}' expecting IDENTIFIER", self.shown())),
        }
    }

    /// What is between parentheses, the first of which is passed.
    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        while !self.at_symbol(")") {
            args.push(self.expression()?);
            if self.accept(",")?.is_none() {
                break;
            }
            if self.at_symbol(")") {
                return self.syntax_error(format!("mismatched input ')' expecting {PRIMARY}"));
            }
        }
        self.expect(")")?;
        Ok(args)
    }

    /// A call, or what it stands for.
    fn call(&mut self, at: u32, function: &str, target: Option<Expr>, args: Vec<Expr>) -> Parsed {
        let expanded = macros::expand(&mut self.build, self.syntax, at, function, target, args);
        let expr = expanded.unwrap_or_else(|(at, message)| {
            self.reporter.report(at, message);
            self.build.literal(at, Literal::Null)
        });
        self.checked(expr)
    }
}
