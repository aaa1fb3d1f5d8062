//! How our scripts answer.

use ::redis::Value;

use crate::session::store::StoreError;

/// It is none that our scripts give.
pub fn odd_answer() -> StoreError {
    StoreError::Corrupt("a script answered in another form".into())
}

/// A script's answer: a word and up to two numbers.
pub fn word_and_numbers(answer: &[Value]) -> Result<(&[u8], [u64; 2]), StoreError> {
    let Some((Value::BulkString(word), rest)) = answer.split_first() else {
        return Err(odd_answer());
    };
    let mut numbers = [0; 2];
    for (slot, value) in numbers.iter_mut().zip(rest) {
        let Value::Int(number) = value else {
            return Err(odd_answer());
        };
        *slot = u64::try_from(*number).map_err(|_| odd_answer())?;
    }
    Ok((word, numbers))
}
