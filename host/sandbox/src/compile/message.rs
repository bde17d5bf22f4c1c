//! What a host asks of a child that compiles, and what the child answers. Both are one message of
//! bounded size with a header of fixed size. The answer is sealed with a number that only this
//! question has, so that what some other program writes is not taken for code.

use std::io::{self, Read, Write};

use crate::precheck::MAX_COMPONENT_BYTES;

/// Bytes of compiled code that are taken from a child: 512 MiB.
pub const MAX_CODE_BYTES: usize = 512 << 20;
/// Bytes of the words in an answer that is no code.
pub(crate) const MAX_WORDS_BYTES: usize = 4 << 10;

/// First bytes of a question and of an answer. The numbers change with the format.
const QUESTION: &[u8; 8] = b"smcompi1";
const ANSWER: &[u8; 8] = b"smcoded1";
const SEAL_BYTES: usize = 32;
/// First bytes, kind, length.
const ANSWER_HEADER_BYTES: usize = 8 + 1 + 8;
/// Bytes of the longest answer.
pub(crate) const MAX_ANSWER_BYTES: usize = ANSWER_HEADER_BYTES + MAX_CODE_BYTES + SEAL_BYTES;

/// How much work the compiler puts into the code. What the code computes is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// All that it has.
    Full,
    /// Only what has to be: code that runs slower, sooner.
    Least,
}

/// What goes before the bytes of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// The hash of the engine that the code is for: of the same build, or nothing is compiled.
    pub(crate) code_hash: [u8; 32],
    /// Seals the answer.
    pub(crate) nonce: [u8; 32],
    /// Whether the code counts fuel.
    pub(crate) metered: bool,
    pub(crate) effort: Effort,
    /// CPU time of the child, in seconds.
    pub(crate) cpu: u64,
    /// Address space of the child, in bytes.
    pub(crate) memory: u64,
    /// Bytes of the component, which follow.
    pub(crate) length: u64,
}

impl Question {
    const BYTES: usize = 8 + 32 + 32 + 1 + 1 + 8 + 8 + 8;

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend_from_slice(QUESTION);
        bytes.extend_from_slice(&self.code_hash);
        bytes.extend_from_slice(&self.nonce);
        bytes.push(u8::from(self.metered));
        bytes.push(u8::from(self.effort == Effort::Least));
        for number in [self.cpu, self.memory, self.length] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Reads a question, and no byte behind it.
    ///
    /// # Errors
    /// When the input ends, or is something else.
    pub(crate) fn read(input: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; Self::BYTES];
        input.read_exact(&mut bytes)?;
        Self::parse(&bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(QUESTION)?;
        let (&code_hash, rest) = rest.split_first_chunk::<32>()?;
        let (&nonce, rest) = rest.split_first_chunk::<32>()?;
        let (&[metered, effort], rest) = rest.split_first_chunk::<2>()?;
        let (&cpu, rest) = rest.split_first_chunk::<8>()?;
        let (&memory, rest) = rest.split_first_chunk::<8>()?;
        let length = u64::from_le_bytes(rest.try_into().ok()?);
        if metered > 1 || effort > 1 || length > MAX_COMPONENT_BYTES as u64 {
            return None;
        }
        Some(Self {
            code_hash,
            nonce,
            metered: metered == 1,
            effort: if effort == 1 { Effort::Least } else { Effort::Full },
            cpu: u64::from_le_bytes(cpu),
            memory: u64::from_le_bytes(memory),
            length,
        })
    }
}

/// What a child says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The code.
    Code(Vec<u8>),
    /// The component is not one, and why.
    Invalid(String),
    /// The child is not of the build that asks.
    OtherBuild,
    /// The compiler failed at this component, and how.
    Broken(String),
    /// There is no room for the compiler's work.
    OutOfMemory,
    /// The child cannot compile anything here, and why.
    Unable(String),
}

impl Answer {
    const fn kind(&self) -> u8 {
        match self {
            Self::Code(_) => 0,
            Self::Invalid(_) => 1,
            Self::OtherBuild => 2,
            Self::Broken(_) => 3,
            Self::OutOfMemory => 4,
            Self::Unable(_) => 5,
        }
    }

    /// Writes the answer to the question with this nonce.
    pub(crate) fn write(&self, nonce: &[u8; 32], output: &mut impl Write) -> io::Result<()> {
        let content = match self {
            Self::Code(code) => code.as_slice(),
            Self::Invalid(words) | Self::Broken(words) | Self::Unable(words) => {
                crate::context::cut(words, MAX_WORDS_BYTES).as_bytes()
            }
            Self::OtherBuild | Self::OutOfMemory => &[],
        };
        let mut header = Vec::with_capacity(ANSWER_HEADER_BYTES);
        header.extend_from_slice(ANSWER);
        header.push(self.kind());
        header.extend_from_slice(&(content.len() as u64).to_le_bytes());
        output.write_all(&header)?;
        output.write_all(content)?;
        output.write_all(seal(nonce, &header, content).as_bytes())?;
        output.flush()
    }

    /// Reads an answer to the question with this nonce; none when the bytes are something else,
    /// not whole, or more than that.
    pub(crate) fn parse(nonce: &[u8; 32], mut bytes: Vec<u8>) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(ANSWER_HEADER_BYTES)?;
        let (&[kind], length) = header.strip_prefix(ANSWER)?.split_first_chunk::<1>()?;
        let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (content, is) = rest.split_at_checked(length)?;
        let is: [u8; SEAL_BYTES] = is.try_into().ok()?;
        if seal(nonce, header, content) != blake3::Hash::from_bytes(is) {
            return None;
        }
        if kind == 0 {
            if length > MAX_CODE_BYTES {
                return None;
            }
            bytes.truncate(ANSWER_HEADER_BYTES + length);
            bytes.drain(..ANSWER_HEADER_BYTES);
            return Some(Self::Code(bytes));
        }
        let words = || {
            let words = std::str::from_utf8(content).ok()?;
            (words.len() <= MAX_WORDS_BYTES).then(|| words.to_owned())
        };
        match (kind, content) {
            (1, _) => words().map(Self::Invalid),
            (2, []) => Some(Self::OtherBuild),
            (3, _) => words().map(Self::Broken),
            (4, []) => Some(Self::OutOfMemory),
            (5, _) => words().map(Self::Unable),
            _ => None,
        }
    }
}

fn seal(nonce: &[u8; 32], header: &[u8], content: &[u8]) -> blake3::Hash {
    blake3::Hasher::new_keyed(nonce).update(header).update(content).finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            code_hash: [1; 32],
            nonce: [2; 32],
            metered: true,
            effort: Effort::Least,
            cpu: 3,
            memory: 4 << 30,
            length: 5,
        }
    }

    #[test]
    fn a_question_is_read_as_it_was_written() {
        for metered in [false, true] {
            for effort in [Effort::Full, Effort::Least] {
                let question = Question { metered, effort, ..question() };
                let bytes = [&question.to_bytes()[..], b"bytes"].concat();
                let mut input = &bytes[..];
                assert_eq!(Question::read(&mut input).unwrap(), question);
                assert_eq!(input, b"bytes");
            }
        }
        let bytes = question().to_bytes();
        for length in 0..bytes.len() {
            assert!(Question::read(&mut &bytes[..length]).is_err());
        }
        let large = Question { length: MAX_COMPONENT_BYTES as u64 + 1, ..question() };
        assert!(Question::read(&mut &large.to_bytes()[..]).is_err());
        let mut other = bytes;
        other[7] ^= 1;
        assert!(Question::read(&mut &other[..]).is_err());
    }

    #[test]
    fn an_answer_is_read_only_whole_and_by_whoever_asked() {
        let words = "words".to_owned();
        for answer in [
            Answer::Code(b"code".to_vec()),
            Answer::Invalid(words.clone()),
            Answer::OtherBuild,
            Answer::Broken(words.clone()),
            Answer::OutOfMemory,
            Answer::Unable(words),
        ] {
            let mut bytes = Vec::new();
            answer.write(&[7; 32], &mut bytes).unwrap();
            assert_eq!(Answer::parse(&[7; 32], bytes.clone()), Some(answer));
            assert_eq!(Answer::parse(&[8; 32], bytes.clone()), None);
            for place in 0..bytes.len() {
                assert_eq!(Answer::parse(&[7; 32], bytes[..place].to_vec()), None);
                let mut damaged = bytes.clone();
                damaged[place] ^= 0x40;
                assert_eq!(Answer::parse(&[7; 32], damaged), None);
            }
            bytes.push(0);
            assert_eq!(Answer::parse(&[7; 32], bytes), None);
        }
    }

    #[test]
    fn words_are_cut() {
        let mut bytes = Vec::new();
        Answer::Invalid("é".repeat(MAX_WORDS_BYTES)).write(&[0; 32], &mut bytes).unwrap();
        let Some(Answer::Invalid(words)) = Answer::parse(&[0; 32], bytes) else { panic!() };
        assert_eq!(words.len(), MAX_WORDS_BYTES);
    }
}
