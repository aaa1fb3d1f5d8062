//! What the person at the terminal reads: progress on standard error, results
//! on standard output.

use std::io::Write;

/// A closed terminal is no reason to fail.
pub fn progress(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

pub fn result(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// `1234567` as `1 234 567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
