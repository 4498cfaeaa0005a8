//! Loops.

use std::{mem, sync::Arc};

use super::{Element, Evaluated, Evaluation, Node};
use crate::{
    cost,
    value::{Error, Key, List, Map, Value},
};

/// A loop over a list or a map.
#[derive(Debug)]
pub(crate) struct FoldPlan {
    pub range: Node,
    pub init: Node,
    pub condition: Node,
    pub step: Node,
    pub result: Node,
    /// Whether it has two variables.
    pub two: bool,
    /// Where on the stack the result is gathered; the variables are above.
    pub accumulator: usize,
}

impl<'a> Evaluation<'_, 'a> {
    pub(super) fn fold(&mut self, fold: &FoldPlan) -> Evaluated<'a> {
        let range = self.node(&fold.range)?;
        let init = self.node(&fold.init);
        self.locals.truncate(fold.accumulator);
        self.locals.push(init);
        match &range {
            Value::List(list) => self.over_list(fold, list)?,
            Value::Map(map) => self.over_map(fold, map)?,
            _ => return Err(Error::no_overload()),
        }
        self.locals.truncate(fold.accumulator + 1);
        let result = self.node(&fold.result);
        self.locals.truncate(fold.accumulator);
        result
    }

    fn over_list(&mut self, fold: &FoldPlan, list: &List<'a>) -> Result<(), Error> {
        for (index, element) in list.iter().enumerate() {
            let index = Value::Int(i64::try_from(index).unwrap_or(i64::MAX));
            let variables = if fold.two { (index, Some(element)) } else { (element, None) };
            if !self.turn(fold, variables)? {
                break;
            }
        }
        Ok(())
    }

    fn over_map(&mut self, fold: &FoldPlan, map: &Map<'a>) -> Result<(), Error> {
        for key in map.keys() {
            let value = if fold.two { map.get(&key) } else { None };
            if !self.turn(fold, (key.value(), value))? {
                break;
            }
        }
        Ok(())
    }

    /// One turn, and whether there was one.
    fn turn(&mut self, fold: &FoldPlan, (first, second): (Value<'a>, Option<Value<'a>>)) -> Result<bool, Error> {
        self.locals.truncate(fold.accumulator + 1);
        self.locals.push(Ok(first));
        self.locals.extend(second.map(Ok));
        // Costs count what is done, and a turn may do nothing.
        self.meter.work(1)?;
        if !matches!(self.node(&fold.condition)?, Value::Bool(true)) {
            return Ok(false);
        }
        let step = self.node(&fold.step);
        match &step {
            Err(error) if error.is_cancelled() => return Err(error.clone()),
            _ => {}
        }
        if let Some(accumulator) = self.locals.get_mut(fold.accumulator) {
            *accumulator = step;
        }
        Ok(true)
    }

    fn take(&mut self, place: usize) -> Evaluated<'a> {
        self.meter.spend(1)?;
        self.locals
            .get_mut(place)
            .map_or_else(|| Err(Error::no_overload()), |local| mem::replace(local, Ok(Value::Null)))
    }

    pub(super) fn append(&mut self, place: usize, elements: &[Element]) -> Evaluated<'a> {
        let Value::List(List::Values(mut list)) = self.take(place)? else { return Err(Error::no_overload()) };
        self.meter.work(1)?;
        let added = self.elements(elements, Vec::new())?;
        self.meter.spend(cost::LIST + 1)?;
        Arc::make_mut(&mut list).extend(added);
        Ok(Value::List(List::Values(list)))
    }

    pub(super) fn insert(&mut self, place: usize, args: &[Node]) -> Evaluated<'a> {
        let Value::Map(Map::Values(mut map)) = self.take(place)? else { return Err(Error::no_overload()) };
        let values = args.iter().map(|arg| self.node(arg)).collect::<Result<Vec<_>, _>>()?;
        let added = match &values[..] {
            [Value::Map(entries)] => {
                entries.keys().into_iter().filter_map(|key| entries.get(&key).map(|value| (key, value))).collect()
            }
            [key, value] => vec![(Key::of(key).ok_or_else(|| Error::new("unsupported key type"))?, value.clone())],
            _ => return Err(Error::no_overload()),
        };
        self.meter.spend(1)?;
        self.meter.work(added.len() as u64)?;
        for (key, value) in added {
            if map.contains_key(&key) {
                return Err(Error::new(format!("insert failed: key {key} already exists")));
            }
            Arc::make_mut(&mut map).insert(key, value);
        }
        Ok(Value::Map(Map::Values(map)))
    }
}
