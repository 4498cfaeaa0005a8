//! From words to nodes.

use serde_json::Value;

use super::{
    Command, Node, Operand, Pipeline, functions,
    lex::{Item, Word},
};

/// So deep blocks and parentheses are nested at most.
const DEEPEST: usize = 100;

/// Reads a template.
pub(super) fn template(items: &[Item]) -> Result<Vec<Node>, String> {
    let mut reader = Reader { items, at: 0, line: 1, variables: vec![String::new()], ranges: 0 };
    let (nodes, end) = reader.block(0)?;
    match end {
        End::Text => Ok(nodes),
        End::Else(_) => Err(reader.wrong("unexpected {{else}}")),
        End::Done => Err(reader.wrong("unexpected {{end}}")),
    }
}

struct Reader<'i> {
    items: &'i [Item],
    at: usize,
    line: usize,
    /// Those that are known here.
    variables: Vec<String>,
    /// In how many ranges.
    ranges: usize,
}

/// What ends a block.
enum End {
    Text,
    Done,
    /// With what follows the word.
    Else(Vec<Word>),
}

impl Reader<'_> {
    fn wrong(&self, why: &str) -> String {
        format!("{}: {why}", self.line)
    }

    fn block(&mut self, depth: usize) -> Result<(Vec<Node>, End), String> {
        if depth > DEEPEST {
            return Err(self.wrong("blocks are nested too deep"));
        }
        let known = self.variables.len();
        let mut nodes = Vec::new();
        while let Some(item) = self.items.get(self.at) {
            self.at += 1;
            let (line, words) = match item {
                Item::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Item::Action(line, words) => (*line, words),
            };
            self.line = line;
            let words = trimmed(words);
            let (keyword, rest) = match words.split_first() {
                Some((Word::Name(name), rest)) => (name.as_str(), trimmed(rest)),
                _ => ("", words),
            };
            match keyword {
                "end" => {
                    self.variables.truncate(known);
                    return Ok((nodes, End::Done));
                }
                "else" => {
                    self.variables.truncate(known);
                    return Ok((nodes, End::Else(rest.to_vec())));
                }
                "if" | "with" | "range" => nodes.push(self.branch(keyword, rest, depth)?),
                "break" if self.ranges > 0 => nodes.push(Node::Break),
                "continue" if self.ranges > 0 => nodes.push(Node::Continue),
                "break" | "continue" => return Err(self.wrong(&format!("{{{{{keyword}}}}} outside {{{{range}}}}"))),
                "define" | "template" | "block" => {
                    return Err(self.wrong(&format!("{keyword} is not supported: templates stand in no others")));
                }
                _ => nodes.push(Node::Pipeline(self.pipeline(words, Declares::One, 0)?)),
            }
        }
        self.variables.truncate(known);
        Ok((nodes, End::Text))
    }

    fn branch(&mut self, keyword: &str, words: &[Word], depth: usize) -> Result<Node, String> {
        let known = self.variables.len();
        let declares = if keyword == "range" { Declares::Two } else { Declares::One };
        let pipeline = self.pipeline(words, declares, 0)?;
        self.ranges += usize::from(keyword == "range");
        let (then, end) = self.block(depth + 1)?;
        self.ranges -= usize::from(keyword == "range");
        let otherwise = match end {
            End::Done => Vec::new(),
            End::Else(words) if words.is_empty() => match self.block(depth + 1)? {
                (otherwise, End::Done) => otherwise,
                (_, End::Else(_)) => return Err(self.wrong("expected end; found {{else}}")),
                (_, End::Text) => return Err(self.wrong("unexpected EOF")),
            },
            End::Else(words) => match words.split_first() {
                Some((Word::Name(again), rest)) if again == keyword && keyword != "range" => {
                    vec![self.branch(keyword, trimmed(rest), depth + 1)?]
                }
                _ => return Err(self.wrong("unexpected words after else")),
            },
            End::Text => return Err(self.wrong("unexpected EOF")),
        };
        self.variables.truncate(known);
        Ok(match keyword {
            "if" => Node::If(pipeline, then, otherwise),
            "with" => Node::With(pipeline, then, otherwise),
            _ => Node::Range(pipeline, then, otherwise),
        })
    }

    fn pipeline(&mut self, words: &[Word], declares: Declares, depth: usize) -> Result<Pipeline, String> {
        if depth > DEEPEST {
            return Err(self.wrong("parentheses are nested too deep"));
        }
        let (variables, declaration, words) = self.variables_of(words, declares)?;
        let mut commands = Vec::new();
        for command in split(words, "|") {
            commands.push(self.command(trimmed(command), depth)?);
        }
        if declaration {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline { variables, declares: declaration, commands })
    }

    /// Variables that are set, whether they are new, and what they are set to.
    fn variables_of<'w>(
        &self,
        words: &'w [Word],
        declares: Declares,
    ) -> Result<(Vec<String>, bool, &'w [Word]), String> {
        let signs = words.iter().position(|word| matches!(word, Word::Sign(":=" | "=")));
        let Some(at) = signs else { return Ok((Vec::new(), false, words)) };
        let declaration = words[at] == Word::Sign(":=");
        let mut names = Vec::new();
        for word in words[..at].iter().filter(|word| !matches!(word, Word::Space | Word::Sign(","))) {
            match word {
                Word::Variable(name) if declaration || self.variables.contains(name) => names.push(name.clone()),
                Word::Variable(name) => return Err(self.wrong(&format!("undefined variable \"${name}\""))),
                _ => return Err(self.wrong("unexpected \":=\" in operand")),
            }
        }
        let most = if declares == Declares::Two { 2 } else { 1 };
        if names.is_empty() || names.len() > most {
            return Err(self.wrong("too many declarations"));
        }
        Ok((names, declaration, &words[at + 1..]))
    }

    fn command(&mut self, words: &[Word], depth: usize) -> Result<Command, String> {
        let mut operands: Vec<Operand> = Vec::new();
        // Whether a field belongs to the operand before it.
        let mut joins = false;
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            rest = after;
            let operand = match word {
                Word::Space => {
                    joins = false;
                    continue;
                }
                Word::Field(name) if joins => {
                    join(&mut operands, name);
                    continue;
                }
                Word::Field(name) if name.is_empty() => Operand::Current,
                Word::Field(name) => Operand::Fields(Box::new(Operand::Current), vec![name.clone()]),
                Word::Variable(name) if self.variables.contains(name) => Operand::Variable(name.clone()),
                Word::Variable(name) => return Err(self.wrong(&format!("undefined variable \"${name}\""))),
                Word::Name(name) => self.name(name)?,
                Word::Text(text) => Operand::Literal(text.clone().into()),
                Word::Number(text) => self.number(text)?,
                Word::Sign("(") => {
                    let end = closing(rest).ok_or_else(|| self.wrong("unclosed left paren"))?;
                    let inner = self.pipeline(trimmed(&rest[..end]), Declares::One, depth + 1)?;
                    rest = &rest[end + 1..];
                    Operand::Inner(Box::new(inner))
                }
                Word::Sign(sign) => return Err(self.wrong(&format!("unexpected {sign:?} in operand"))),
            };
            operands.push(operand);
            joins = true;
        }
        if operands.is_empty() { Err(self.wrong("missing value for command")) } else { Ok(Command(operands)) }
    }

    fn name(&self, name: &str) -> Result<Operand, String> {
        match name {
            "true" => Ok(Operand::Literal(true.into())),
            "false" => Ok(Operand::Literal(false.into())),
            "nil" => Ok(Operand::Literal(Value::Null)),
            name if functions::is_one(name) => Ok(Operand::Function(name.to_owned())),
            name => Err(self.wrong(&format!("function {name:?} not defined"))),
        }
    }

    fn number(&self, text: &str) -> Result<Operand, String> {
        let plain = text.trim_start_matches('+').replace('_', "");
        let hexadecimal = plain.strip_prefix("0x").and_then(|digits| i64::from_str_radix(digits, 16).ok());
        let value = hexadecimal.map(Value::from).or_else(|| serde_json::from_str(&plain).ok());
        let value =
            value.filter(Value::is_number).ok_or_else(|| self.wrong(&format!("bad number syntax: {text:?}")))?;
        Ok(Operand::Literal(value))
    }
}

/// How many variables may be declared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Declares {
    One,
    Two,
}

fn join(operands: &mut Vec<Operand>, name: &str) {
    match operands.pop() {
        Some(Operand::Fields(of, mut fields)) => {
            fields.push(name.to_owned());
            operands.push(Operand::Fields(of, fields));
        }
        Some(other) => operands.push(Operand::Fields(Box::new(other), vec![name.to_owned()])),
        None => {}
    }
}

fn trimmed(words: &[Word]) -> &[Word] {
    let first = words.iter().position(|word| *word != Word::Space).unwrap_or(words.len());
    let last = words.iter().rposition(|word| *word != Word::Space).map_or(first, |last| last + 1);
    &words[first..last]
}

/// Separated by a sign outside of parentheses.
fn split<'w>(words: &'w [Word], sign: &'static str) -> Vec<&'w [Word]> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, word) in words.iter().enumerate() {
        match word {
            Word::Sign("(") => depth += 1,
            Word::Sign(")") => depth = depth.saturating_sub(1),
            Word::Sign(found) if *found == sign && depth == 0 => {
                parts.push(&words[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&words[from..]);
    parts
}

/// Where the parenthesis ends that is open.
fn closing(words: &[Word]) -> Option<usize> {
    let mut depth = 0_usize;
    words.iter().position(|word| match word {
        Word::Sign("(") => {
            depth += 1;
            false
        }
        Word::Sign(")") if depth == 0 => true,
        Word::Sign(")") => {
            depth -= 1;
            false
        }
        _ => false,
    })
}
