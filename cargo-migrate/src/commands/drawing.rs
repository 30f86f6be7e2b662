//! `history --graph`: revisions in lanes, as `git log --graph` draws commits.

/// The lanes that are open, from the left: each holds the revision that it leads to.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    lanes: Vec<usize>,
    lines: Vec<String>,
}

impl Drawing {
    /// A drawing in which these lanes are open from the top, each to the revision that it leads to.
    pub(super) fn with_lanes(lanes: Vec<usize>) -> Self {
        Self { lanes, lines: Vec::new() }
    }

    /// Draws a revision below what was drawn before: it comes after all that follow it. `parents` are those that will be
    /// drawn too.
    pub(super) fn revision(&mut self, at: usize, parents: &[usize], text: &str) {
        let mine: Vec<usize> = (0..self.lanes.len()).filter(|lane| self.lanes[*lane] == at).collect();
        let lane = mine.first().copied().unwrap_or_else(|| {
            self.lanes.push(at);
            self.lanes.len() - 1
        });
        // Lanes that meet here close before the revision is drawn, the rightmost first, so that the others stay.
        for closing in mine.iter().skip(1).rev() {
            self.close(*closing, lane);
        }
        let mut row = Row::of(&self.lanes);
        row.put(2 * lane, '*');
        self.lines.push(format!("{} {text}", row.padded(self.lanes.len())));
        match parents {
            [] => self.end(lane),
            [first, others @ ..] => {
                self.lanes[lane] = *first;
                for parent in others.iter().rev() {
                    self.open(lane, *parent);
                }
            }
        }
    }

    /// All lines; what stands below the last revision is of no use.
    pub(super) fn into_lines(mut self) -> Vec<String> {
        while self.lines.last().is_some_and(|line| !line.contains('*')) {
            self.lines.pop();
        }
        self.lines
    }

    /// A lane to the right of another one; those beyond move aside.
    fn open(&mut self, lane: usize, leads_to: usize) {
        let mut row = Row::of(&self.lanes[..=lane]);
        for moved in lane..self.lanes.len() {
            row.put(2 * moved + 1, '\\');
        }
        self.lines.push(row.text());
        self.lanes.insert(lane + 1, leads_to);
    }

    /// A lane that runs into another one to its left, below the lanes between; those beyond move up.
    fn close(&mut self, closing: usize, into: usize) {
        let mut row = Row::of(&self.lanes[..closing]);
        for below in into..closing {
            row.put(2 * below + 1, '_');
        }
        for moved in closing..self.lanes.len() {
            row.put(2 * moved - 1, '/');
        }
        self.lines.push(row.text());
        self.lanes.remove(closing);
    }

    /// A lane that ends. The row below keeps what is drawn next from looking as if it came before.
    fn end(&mut self, lane: usize) {
        let mut row = Row::of(&self.lanes[..lane]);
        for moved in lane + 1..self.lanes.len() {
            row.put(2 * moved - 1, '/');
        }
        self.lines.push(row.text());
        self.lanes.remove(lane);
    }
}

/// A row of characters, two for each lane.
struct Row(Vec<char>);

impl Row {
    fn of(lanes: &[usize]) -> Self {
        Self(lanes.iter().flat_map(|_| ['|', ' ']).collect())
    }

    fn put(&mut self, at: usize, character: char) {
        if self.0.len() <= at {
            self.0.resize(at + 1, ' ');
        }
        self.0[at] = character;
    }

    fn padded(&self, lanes: usize) -> String {
        format!("{:<width$}", self.text(), width = 2 * lanes)
    }

    fn text(&self) -> String {
        self.0.iter().collect::<String>().trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws revisions, the newest first, each with its parents.
    fn drawn(history: &[(usize, &[usize])]) -> String {
        let mut drawing = Drawing::default();
        for (at, parents) in history {
            drawing.revision(*at, parents, &at.to_string());
        }
        drawing.into_lines().join("\n")
    }

    #[test]
    fn a_fork_and_its_merge() {
        let expected = "*  4\n|\\\n| *  3\n* |  2\n|/\n*  1";
        assert_eq!(drawn(&[(4, &[2, 3]), (3, &[1]), (2, &[1]), (1, &[])]), expected);
    }

    #[test]
    fn histories_that_are_not_connected_are_apart() {
        let expected = "*  4\n*  3\n\n*  2\n*  1";
        assert_eq!(drawn(&[(4, &[3]), (3, &[]), (2, &[1]), (1, &[])]), expected);
        let expected = "*  4\n|\\\n| *  3\n|\n| *  2\n|/\n*  1";
        assert_eq!(drawn(&[(4, &[1, 3]), (3, &[]), (2, &[1]), (1, &[])]), expected);
    }

    #[test]
    fn a_merge_left_of_other_lanes_opens_beside_itself_and_closes_below_them() {
        let history: [(usize, &[usize]); 7] =
            [(9, &[5]), (8, &[4]), (5, &[2, 3]), (4, &[2]), (3, &[1]), (2, &[1]), (1, &[])];
        let expected = "*  9\n| *  8\n* |  5\n|\\ \\\n| | *  4\n| * |  3\n|_|/\n* |  2\n|/\n*  1";
        assert_eq!(drawn(&history), expected);
    }
}
