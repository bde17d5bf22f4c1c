//! The option, the paths its asset may take, and running moments. Where the randomness comes from
//! is up to the caller.

/// An arithmetic Asian call: it pays what the average of the fixings is above the strike.
pub(crate) struct AsianCall {
    spot: f64,
    strike: f64,
    interest: f64,
    volatility: f64,
    years: f64,
    fixings: u32,
}

impl AsianCall {
    /// Twelve fixings in one year.
    pub(crate) const MONTHLY: Self = Self {
        spot: 100.0,
        strike: 100.0,
        interest: 0.05,
        volatility: 0.2,
        years: 1.0,
        fixings: 12,
    };

    /// Simulates one path under the risk-neutral measure (geometric Brownian motion), and gives
    /// the payoff in today's money. `normal` draws standard normal numbers.
    pub(crate) fn discounted_payoff(&self, mut normal: impl FnMut() -> f64) -> f64 {
        let step = self.years / f64::from(self.fixings);
        let drift = (self.interest - self.volatility * self.volatility / 2.0) * step;
        let spread = self.volatility * step.sqrt();
        let (mut price, mut sum) = (self.spot, 0.0);
        for _ in 0..self.fixings {
            price *= (drift + spread * normal()).exp();
            sum += price;
        }
        let payoff = (sum / f64::from(self.fixings) - self.strike).max(0.0);
        payoff * (-self.interest * self.years).exp()
    }
}

/// Mean and squared distances of a stream of numbers, by Welford's algorithm: adding up squares
/// would lose the digits that matter.
#[derive(Default)]
pub(crate) struct Moments {
    pub(crate) count: f64,
    pub(crate) mean: f64,
    pub(crate) squares: f64,
}

impl Moments {
    pub(crate) fn add(&mut self, number: f64) {
        self.count += 1.0;
        let before = number - self.mean;
        self.mean += before / self.count;
        self.squares += before * (number - self.mean);
    }

    /// Takes in the numbers of `other`, by the parallel form of the same algorithm.
    pub(crate) fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        if count == 0.0 {
            return;
        }
        let distance = other.mean - self.mean;
        self.mean += distance * other.count / count;
        self.squares += other.squares + distance * distance * self.count * other.count / count;
        self.count = count;
    }

    /// How far the mean may be off; none for fewer than two numbers.
    pub(crate) fn standard_error(&self) -> Option<f64> {
        (self.count >= 2.0).then(|| (self.squares / (self.count - 1.0) / self.count).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Normal;

    #[test]
    fn with_one_fixing_it_is_the_black_scholes_price() {
        let european = AsianCall { fixings: 1, ..AsianCall::MONTHLY };
        let mut normal = Normal::new(1);
        let mut moments = Moments::default();
        for _ in 0..400_000 {
            moments.add(european.discounted_payoff(|| normal.next()));
        }
        let error = moments.standard_error().unwrap();
        assert!((moments.mean - 10.450_584).abs() < 4.0 * error, "{} ± {error}", moments.mean);
    }

    #[test]
    fn merged_moments_are_those_of_all_numbers() {
        let numbers = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let mut all = Moments::default();
        numbers.iter().for_each(|&number| all.add(number));
        for split in 0..=numbers.len() {
            let (mut left, mut right) = (Moments::default(), Moments::default());
            numbers[..split].iter().for_each(|&number| left.add(number));
            numbers[split..].iter().for_each(|&number| right.add(number));
            left.merge(&right);
            assert!((left.mean - all.mean).abs() < 1e-12);
            assert!((left.squares - all.squares).abs() < 1e-12);
        }
        assert!(Moments::default().standard_error().is_none());
    }
}
