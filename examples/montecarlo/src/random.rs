//! Random numbers that depend on their seed and on nothing else: xoshiro256++ by Blackman and
//! Vigna, seeded by SplitMix64, as <https://prng.di.unimi.it> recommends.

/// Uniform 64-bit numbers.
struct Xoshiro {
    state: [u64; 4],
}

impl Xoshiro {
    fn new(seed: u64) -> Self {
        let mut split_mix = seed;
        let state = [(); 4].map(|()| {
            split_mix = split_mix.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = split_mix;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        });
        Self { state }
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number in -1..1, from the upper 53 bits.
    fn next_signed_unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in an f64")]
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit * 2.0 - 1.0
    }
}

/// Standard normal numbers, by Marsaglia's polar method, which gives two at a time.
pub(crate) struct Normal {
    uniform: Xoshiro,
    spare: Option<f64>,
}

impl Normal {
    /// The stream that belongs to `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { uniform: Xoshiro::new(seed), spare: None }
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (self.uniform.next_signed_unit(), self.uniform.next_signed_unit());
            let square = x * x + y * y;
            // Outside of the circle, or in its very middle, whose logarithm is infinite.
            if square < 1.0 && square > 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * factor);
                return x * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generators_are_the_published_ones() {
        // SplitMix64 from 1234567 begins so (the reference implementation's own first outputs).
        let state = Xoshiro::new(1_234_567).state;
        assert_eq!(state[..2], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
        // xoshiro256++ from the state 1, 2, 3, 4 begins so (the vectors of `rand_xoshiro`).
        let mut xoshiro = Xoshiro { state: [1, 2, 3, 4] };
        let first = [(); 4].map(|()| xoshiro.next());
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn the_numbers_are_normal() {
        let mut normal = Normal::new(42);
        let numbers: Vec<f64> = (0..200_000).map(|_| normal.next()).collect();
        let count = 200_000.0;
        let mean = numbers.iter().sum::<f64>() / count;
        let variance = numbers.iter().map(|number| number * number).sum::<f64>() / count;
        let within = numbers.iter().filter(|number| number.abs() < 1.96).count();
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean}, {variance}");
        assert!((189_000..=191_000).contains(&within), "{within} of 200000 within 1.96");
    }
}
