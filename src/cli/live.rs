//! `vestibule check --live`: the configuration first, then everybody whom a
//! running gateway would talk to.

use std::fmt::Write;
use std::process::ExitCode;

use super::check;
use super::serve::control_runtime;
use super::terminal::{Stream, line};
use crate::app::live::{self, Answer, Verdict};
use crate::config::{Loaded, Sources, inspect};

/// Prints what each peer answers, as it comes. 0 nothing is wrong, 1
/// something is, or the configuration is faulty.
pub(super) fn check(sources: &Sources) -> ExitCode {
    let loaded = match inspect(sources) {
        Ok(loaded) => loaded,
        Err(problems) => {
            line(Stream::Output, &problems.to_string());
            line(
                Stream::Output,
                "Nobody was asked: the configuration comes first",
            );
            return ExitCode::FAILURE;
        }
    };
    line(Stream::Output, &check::report(&loaded));
    match control_runtime() {
        Ok(runtime) => {
            let code = runtime.block_on(ask(&loaded));
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            line(Stream::Error, &format!("nobody can be asked: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn ask(loaded: &Loaded) -> ExitCode {
    let (mut wrong, mut doubtful) = (0, 0);
    for question in live::ask(&loaded.config) {
        line(Stream::Output, &format!("\n{}", question.about));
        let answers = match question.answers.await {
            Ok(answers) => answers,
            Err(error) => vec![Answer {
                verdict: Verdict::Bad,
                said: format!("asking failed: {error}"),
                cure: None,
            }],
        };
        for answer in answers {
            match answer.verdict {
                Verdict::Good => {}
                Verdict::Doubtful => doubtful += 1,
                Verdict::Bad => wrong += 1,
            }
            line(Stream::Output, &sentence(&answer));
        }
    }
    line(
        Stream::Output,
        &format!("\n{}", conclusion(wrong, doubtful)),
    );
    if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn sentence(answer: &Answer) -> String {
    let mark = match answer.verdict {
        Verdict::Good => "good ",
        Verdict::Doubtful => "look ",
        Verdict::Bad => "WRONG",
    };
    let mut text = format!("    {mark}  {}", answer.said);
    if let Some(cure) = &answer.cure {
        // writing into a String cannot fail
        let _ = write!(text, "\n           cure: {cure}");
    }
    text
}

fn conclusion(wrong: usize, doubtful: usize) -> String {
    let things = |count: usize| match count {
        1 => "1 thing is".to_owned(),
        _ => format!("{count} things are"),
    };
    match (wrong, doubtful) {
        (0, 0) => "All peers are fine".to_owned(),
        (0, _) => format!("Nothing is wrong; {} worth a look", things(doubtful)),
        (_, 0) => format!("{} wrong", things(wrong)),
        _ => format!("{} wrong, {} worth a look", things(wrong), things(doubtful)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_their_sum_read_like_sentences() {
        let answer = Answer {
            verdict: Verdict::Bad,
            said: "upstream cannot be reached".into(),
            cure: Some("start it".into()),
        };
        assert_eq!(
            sentence(&answer),
            "    WRONG  upstream cannot be reached\n           cure: start it"
        );
        assert_eq!(conclusion(0, 0), "All peers are fine");
        assert_eq!(
            conclusion(0, 1),
            "Nothing is wrong; 1 thing is worth a look"
        );
        assert_eq!(conclusion(2, 0), "2 things are wrong");
        assert_eq!(
            conclusion(1, 3),
            "1 thing is wrong, 3 things are worth a look"
        );
    }
}
