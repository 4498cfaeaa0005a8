//! What expressions may speak of: variables, types of objects, and libraries.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    ast::Expr,
    check::check,
    estimate::{Range, Sizes, estimate},
    evaluate::Program,
    functions::{Declared, Function, Library, libraries},
    issues::Issues,
    parse::{Syntax, parse},
    plan::plan,
    types::Type,
};

/// A type with fields.
#[derive(Clone, Debug, Default)]
pub struct ObjectType {
    /// Its fields.
    pub fields: BTreeMap<Arc<str>, Type>,
}

impl ObjectType {
    /// With these fields.
    #[must_use]
    pub fn new<'a>(fields: impl IntoIterator<Item = (&'a str, Type)>) -> Self {
        Self { fields: fields.into_iter().map(|(name, of)| (name.into(), of)).collect() }
    }
}

/// What expressions may speak of. Cheap to clone and extend.
#[derive(Clone)]
pub struct Env {
    pub(crate) container: Arc<str>,
    pub(crate) variables: HashMap<Arc<str>, Type>,
    pub(crate) types: Arc<HashMap<Arc<str>, ObjectType>>,
    /// Types of these names, and of names within them, have whatever field there is.
    open: Vec<Arc<str>>,
    pub(crate) functions: Arc<HashMap<&'static str, Declared>>,
    /// Types of libraries by their names.
    opaque: Arc<HashMap<Arc<str>, Type>>,
    pub(crate) syntax: Syntax,
    /// Elements of one list may be of different types.
    pub(crate) mixed: bool,
}

/// An expression whose types are known.
pub(crate) struct Checked {
    pub expr: Expr,
    /// By the number of an expression.
    pub types: Vec<Type>,
}

impl Default for Env {
    fn default() -> Self {
        Self::new(&[libraries::OPERATORS, libraries::STANDARD, libraries::STANDARD_TIME])
    }
}

impl Env {
    /// With these libraries.
    #[must_use]
    pub fn new(libraries: &[Library]) -> Self {
        let empty = Self {
            container: "".into(),
            variables: HashMap::new(),
            types: Arc::default(),
            open: Vec::new(),
            functions: Arc::default(),
            opaque: Arc::default(),
            syntax: Syntax::default(),
            mixed: false,
        };
        libraries.iter().fold(empty, |env, library| env.library(*library))
    }

    /// And this variable.
    #[must_use]
    pub fn variable(mut self, name: &str, of: Type) -> Self {
        self.declare(name, of);
        self
    }

    /// Adds a variable.
    pub fn declare(&mut self, name: &str, of: Type) {
        self.variables.insert(name.into(), of);
    }

    /// But not this variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// And this type of objects.
    #[must_use]
    pub fn object(mut self, name: &str, of: ObjectType) -> Self {
        Arc::make_mut(&mut self.types).insert(name.into(), of);
        self
    }

    /// Adds a field to a type of objects, which is made if it is not there.
    pub fn declare_field(&mut self, object: &str, field: &str, of: Type) {
        let own = Arc::make_mut(&mut self.types).entry(object.into()).or_default();
        own.fields.insert(field.into(), of);
    }

    /// And a type of objects that have any fields, and types within it, such as `Object.spec`.
    #[must_use]
    pub fn open_object(mut self, name: &str) -> Self {
        self.open.push(name.into());
        self
    }

    /// And these functions.
    #[must_use]
    pub fn library(mut self, library: Library) -> Self {
        let functions = Arc::make_mut(&mut self.functions);
        let opaque = Arc::make_mut(&mut self.opaque);
        for row in library.0 {
            let declared = functions.entry(row.name).or_default();
            declared.declare(row);
            for of in declared.overloads.iter().map(|overload| &overload.result) {
                if let Type::Opaque(name, _) = of {
                    opaque.entry(name.clone()).or_insert_with(|| of.clone());
                }
            }
        }
        self
    }

    /// And `cel.bind`.
    #[must_use]
    pub fn bindings(mut self) -> Self {
        self.syntax.bindings = true;
        self
    }

    /// And fields between backticks.
    #[must_use]
    pub fn quoted_fields(mut self) -> Self {
        self.syntax.quoted_fields = true;
        self
    }

    /// And lists whose elements have different types.
    #[must_use]
    pub fn mixed_lists(mut self) -> Self {
        self.mixed = true;
        self
    }

    /// Names are looked for within this namespace first.
    #[must_use]
    pub fn within(mut self, container: &str) -> Self {
        self.container = container.into();
        self
    }

    /// A program of a text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(&self, text: &str) -> Result<Program, Issues> {
        let checked = check(self, text, parse(text, self.syntax)?)?;
        Ok(plan(self, &checked))
    }

    /// A program of a text whose types are not looked at, and what it results in is not known.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn compile_unchecked(&self, text: &str) -> Result<Program, Issues> {
        let expr = parse(text, self.syntax)?;
        Ok(plan(self, &Checked { expr, types: Vec::new() }))
    }

    /// A program, and what it costs at least and at most, by the sizes that variables may have.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile_estimated(&self, text: &str, sizes: &dyn Sizes) -> Result<(Program, Range), Issues> {
        let checked = check(self, text, parse(text, self.syntax)?)?;
        Ok((plan(self, &checked), estimate(&checked, sizes)))
    }

    pub(crate) fn function(&self, name: &str) -> Option<&Declared> {
        self.functions.get(name)
    }

    pub(crate) fn implementations(&self, name: &str) -> Option<(&'static str, &[Function])> {
        self.functions.get_key_value(name).map(|(name, declared)| (*name, &*declared.functions))
    }

    fn is_open(&self, name: &str) -> bool {
        let within = |rest: &str| rest.is_empty() || rest.starts_with('.');
        self.open.iter().any(|open| name.strip_prefix(&**open).is_some_and(within))
    }

    /// The type of an object's field, if it has it.
    pub(crate) fn field(&self, object: &str, field: &str) -> Option<Type> {
        let own = self.types.get(object).and_then(|of| of.fields.get(field).cloned());
        own.or_else(|| self.is_open(object).then_some(Type::Dyn))
    }

    /// The type that a name means when it is not a variable.
    pub(crate) fn type_named(&self, name: &str) -> Option<Type> {
        if let Some((name, _)) = self.types.get_key_value(name) {
            return Some(Type::Object(name.clone()));
        }
        if self.is_open(name) {
            return Some(Type::object(name));
        }
        Some(match name {
            "bool" | "int" | "uint" | "double" | "string" | "bytes" | "type" => Type::parse(name),
            "null_type" => Type::Null,
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            "google.protobuf.Timestamp" => Type::Timestamp,
            "google.protobuf.Duration" => Type::Duration,
            "optional_type" => Type::optional(Type::Dyn),
            name => self.opaque.get(name)?.clone(),
        })
    }

    /// Names that could be meant, the innermost namespace first; a dot in front means the outermost alone.
    pub(crate) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(name) = name.strip_prefix('.') {
            return vec![name.to_owned()];
        }
        let mut container = &*self.container;
        let mut names = Vec::new();
        while !container.is_empty() {
            names.push(format!("{container}.{name}"));
            container = container.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
        names.push(name.to_owned());
        names
    }
}
