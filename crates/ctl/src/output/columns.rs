//! Columns that the command line describes (`-o custom-columns`).

use serde_json::Value;

use super::{Missing, go, json_path::Template, tabs::Tabs};

/// Columns, each with a heading and what stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Vec<(String, Template)>);

impl Columns {
    /// Reads `HEADING:PATH,…`.
    ///
    /// # Errors
    /// When it is none, in kubectl's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("custom-columns format specified but no custom columns given".to_owned());
        }
        let column = |part: &str| match part.split(':').collect::<Vec<_>>().as_slice() {
            [heading, path] => Ok(((*heading).to_owned(), Template::relaxed(path)?)),
            _ => Err(format!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")),
        };
        Ok(Self(text.split(',').map(column).collect::<Result<_, _>>()?))
    }

    /// Reads a line of headings and a line of paths.
    ///
    /// # Errors
    /// When there are not as many of both.
    pub fn parse_lines(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let (headings, paths) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let (headings, paths): (Vec<_>, Vec<_>) =
            (headings.split_whitespace().collect(), paths.split_whitespace().collect());
        if headings.is_empty() || headings.len() != paths.len() {
            return Err(format!(
                "number of headers ({}) and field specifications ({}) don't match",
                headings.len(),
                paths.len()
            ));
        }
        let column = |(heading, path): (&str, &str)| Ok((heading.to_owned(), Template::relaxed(path)?));
        Ok(Self(headings.into_iter().zip(paths).map(column).collect::<Result<_, String>>()?))
    }

    /// A table with a line for each object.
    ///
    /// # Errors
    /// When a path cannot be followed.
    pub fn table(&self, objects: &[Value], headings: bool) -> Result<String, String> {
        let mut tabs = Tabs::default();
        if headings {
            tabs.line(self.0.iter().map(|(heading, _)| heading.as_str()));
        }
        for object in objects {
            let cells: Result<Vec<String>, String> = self.0.iter().map(|(_, path)| cell(path, object)).collect();
            tabs.line(cells?);
        }
        Ok(tabs.render())
    }
}

fn cell(path: &Template, object: &Value) -> Result<String, String> {
    let found = path.parts(object, Missing::Skipped)?.concat();
    if found.is_empty() {
        return Ok("<none>".to_owned());
    }
    Ok(found.iter().map(go::printed).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_become_lines() {
        let objects = [
            json!({"metadata": {"name": "a"}, "spec": {"containers": [{"image": "x"}, {"image": "y"}]}}),
            json!({"metadata": {"name": "longer"}, "spec": {}}),
        ];
        let columns = Columns::parse("NAME:.metadata.name,IMAGES:{.spec.containers[*].image}").unwrap();
        assert_eq!(columns.table(&objects, true).unwrap(), "NAME     IMAGES\na        x,y\nlonger   <none>\n");
        assert_eq!(columns.table(&objects[..1], false).unwrap(), "a     x,y\n");
        assert_eq!(
            Columns::parse_lines("NAME IMAGES\nmetadata.name spec.containers[*].image\n"),
            Ok(columns_of_file())
        );
        for (text, why) in [
            ("", "custom-columns format specified but no custom columns given"),
            ("NAME", "unexpected custom-columns spec: NAME, expected <header>:<json-path-expr>"),
        ] {
            assert_eq!(Columns::parse(text), Err(why.to_owned()));
        }
        assert!(Columns::parse_lines("A B\n.a").is_err() && Columns::parse_lines("").is_err());
    }

    fn columns_of_file() -> Columns {
        let path = |path: &str| Template::relaxed(path).unwrap();
        Columns(vec![
            ("NAME".to_owned(), path("metadata.name")),
            ("IMAGES".to_owned(), path("spec.containers[*].image")),
        ])
    }
}
