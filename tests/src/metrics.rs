//! `/metrics`, read as Prometheus reads it.

use anyhow::{Context, Result};

/// One reading of all metrics.
#[derive(Debug)]
pub struct Metrics {
    samples: Vec<(String, f64)>,
}

impl Metrics {
    /// Reads the Prometheus or OpenMetrics text format.
    ///
    /// # Errors
    /// When a line is neither a comment nor `name{labels} value`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut samples = Vec::new();
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (name, value) = line
                .rsplit_once(' ')
                .with_context(|| format!("bad line: {line}"))?;
            let value = value
                .parse()
                .with_context(|| format!("bad value: {line}"))?;
            samples.push((name.to_owned(), value));
        }
        Ok(Self { samples })
    }

    /// The sum over all samples whose name with labels contains every part.
    pub fn sum(&self, parts: &[&str]) -> f64 {
        let fits = |name: &str| parts.iter().all(|part| name.contains(part));
        let fitting = self.samples.iter().filter(|(name, _)| fits(name));
        fitting.map(|(_, value)| value).sum()
    }

    /// The one sample of this name, without labels; 0 when there is none.
    pub fn value(&self, name: &str) -> f64 {
        let mut samples = self.samples.iter();
        let sample = samples.find(|(known, _)| known == name);
        sample.map_or(0.0, |(_, value)| *value)
    }

    /// The names of all metrics, without labels and without the suffixes of counters and histograms.
    pub fn families(&self) -> Vec<String> {
        let bare = |name: &str| {
            let name = name.split('{').next().unwrap_or(name);
            let suffixes = ["_total", "_bucket", "_sum", "_count"];
            let cut = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
            cut.unwrap_or(name).to_owned()
        };
        let mut names: Vec<_> = self.samples.iter().map(|(name, _)| bare(name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn samples_are_summed_over_their_labels() {
        let text = "# HELP x y\nx_total{a=\"1\"} 2\nx_total{a=\"2\"} 3\nother 1\n# EOF\n";
        let metrics = Metrics::parse(text).unwrap();
        assert!((metrics.sum(&["x_total"]) - 5.0).abs() < f64::EPSILON);
        assert_eq!(metrics.families(), ["other", "x"]);
    }
}
