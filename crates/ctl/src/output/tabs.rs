//! Columns aligned with spaces, as Go's tabwriter aligns kubectl's.

/// kubectl's space between columns.
const GAP: usize = 3;
/// kubectl's least width of a column.
const LEAST: usize = 6;

/// Lines of cells; a column is as wide as its widest cell.
#[derive(Clone, Debug, Default)]
pub struct Tabs {
    lines: Vec<Vec<String>>,
}

impl Tabs {
    /// Adds a line.
    pub fn line<I, S>(&mut self, cells: I)
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.lines.push(cells.into_iter().map(Into::into).collect());
    }

    /// The text; the last cell of a line is not padded.
    #[must_use]
    pub fn render(&self) -> String {
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.lines.iter().filter(|line| column + 1 < line.len());
            cells.map(|line| line[column].chars().count()).max().unwrap_or(0).saturating_add(GAP).max(LEAST)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for line in &self.lines {
            for (column, cell) in line.iter().enumerate() {
                text.push_str(cell);
                if column + 1 < line.len() {
                    text.extend(std::iter::repeat_n(' ', widths[column] - cell.chars().count()));
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Tabs;

    #[test]
    fn columns_are_aligned() {
        let mut tabs = Tabs::default();
        tabs.line(["NAME", "AGE"]);
        tabs.line(["a-long-name", "5m"]);
        assert_eq!(tabs.render(), "NAME          AGE\na-long-name   5m\n");
    }
}
