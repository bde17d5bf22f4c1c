//! Prices an Asian call option by simulation. The average of many fixings has no closed form, so
//! this is how it is really done. The tasks live here; the market model and the random numbers are
//! in their own modules.

mod market;
mod random;

use market::{AsianCall, Moments};
use random::Normal;
use sandmill_guest::{Failure, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most seeds or samples that one call takes: a slip of the pen should not cost an hour.
const COUNT_MAX: u32 = 10_000_000;

/// How far off the true price may be, in standard errors, with 95 % confidence.
const CONFIDENCE_95: f64 = 1.96;

/// What one seed's samples say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The seed.
    pub seed: u64,
    /// How many paths were simulated.
    pub samples: u32,
    /// The mean of the discounted payoffs.
    pub mean: f64,
    /// The sum of the squared distances from the mean.
    pub squares: f64,
}

/// What all seeds together say, rounded to 1/10,000.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// The option's price.
    pub price: f64,
    /// The standard error of the price.
    pub standard_error: f64,
    /// The lower end of the 95 % confidence interval.
    pub low: f64,
    /// The upper end of the 95 % confidence interval.
    pub high: f64,
    /// How many paths were simulated in all.
    pub samples: u64,
}

/// The seeds to simulate with: 0, 1, 2, ….
#[task]
pub fn seeds(count: u32) -> Result<Vec<u64>, Failure> {
    within_bounds("count", count)?;
    Ok((0..u64::from(count)).collect())
}

/// Simulates price paths with one seed, and prices the option by them.
///
/// The option: a call at 100 on the average of 12 monthly fixings of an asset that stands at 100,
/// with 20 % volatility and 5 % interest.
#[task]
pub fn estimate(
    /// Names the stream of random numbers: the same seed gives the same bytes, anywhere.
    seed: u64,
    /// How many paths to simulate.
    #[default(1_000)]
    samples: u32,
) -> Result<Estimate, Failure> {
    within_bounds("samples", samples)?;
    let mut normal = Normal::new(seed);
    let mut moments = Moments::default();
    for _ in 0..samples {
        moments.add(AsianCall::MONTHLY.discounted_payoff(|| normal.next()));
    }
    Ok(Estimate { seed, samples, mean: moments.mean, squares: moments.squares })
}

/// Puts the estimates of several seeds together.
#[task]
pub fn combine(estimates: Vec<Estimate>) -> Result<Price, Failure> {
    let mut all = Moments::default();
    for estimate in &estimates {
        all.merge(&Moments {
            count: f64::from(estimate.samples),
            mean: estimate.mean,
            squares: estimate.squares,
        });
    }
    let Some(standard_error) = all.standard_error() else {
        return Err(Failure::new("too-few", "a price takes at least two samples"));
    };
    let reach = CONFIDENCE_95 * standard_error;
    Ok(Price {
        price: rounded(all.mean),
        standard_error: rounded(standard_error),
        low: rounded(all.mean - reach),
        high: rounded(all.mean + reach),
        samples: estimates.iter().map(|estimate| u64::from(estimate.samples)).sum(),
    })
}

sandmill_guest::export!(seeds, estimate, combine);

fn within_bounds(what: &str, number: u32) -> Result<(), Failure> {
    if (1..=COUNT_MAX).contains(&number) {
        return Ok(());
    }
    let message = format!("`{what}` is {number}, but must be from 1 to {COUNT_MAX}");
    Err(Failure::new("out-of-range", message))
}

fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandmill_guest::testing;

    #[test]
    fn a_seed_names_its_stream() {
        let once = estimate(7, 500).unwrap();
        assert_eq!(once, estimate(7, 500).unwrap());
        assert_ne!(once.mean, estimate(8, 500).unwrap().mean);
    }

    #[test]
    fn all_seeds_together_are_one_large_sample() {
        let estimates: Vec<_> =
            seeds(40).unwrap().into_iter().map(|seed| estimate(seed, 2_000).unwrap()).collect();
        let price = combine(estimates).unwrap();
        assert_eq!(price.samples, 80_000);
        // 6.157 is what five million paths say.
        assert!((price.price - 6.157).abs() < 4.0 * price.standard_error, "{price:?}");
        assert!(price.low < price.price && price.price < price.high);
    }

    #[test]
    fn samples_are_optional_and_bounded() {
        let arguments = std::collections::BTreeMap::from([("seed", 3)]);
        let called: Estimate = testing::call::<estimate, _>(&arguments).unwrap();
        assert_eq!(called, estimate(3, 1_000).unwrap());
        assert_eq!(estimate(3, 0).unwrap_err().kind(), "out-of-range");
        assert_eq!(seeds(0).unwrap_err().kind(), "out-of-range");
        assert_eq!(combine(Vec::new()).unwrap_err().kind(), "too-few");
    }
}
