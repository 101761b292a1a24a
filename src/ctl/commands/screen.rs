//! A terminal as one picture that changes, and keys; restored when it is dropped.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::{cursor, execute, queue, style, terminal};

use crate::ctl::error::Error;

pub enum Key {
    Letter(char),
    /// `q`, Escape or Ctrl-C.
    End,
}

pub struct Screen {
    out: std::io::Stdout,
}

fn failed(error: &std::io::Error) -> Error {
    Error::Failed(format!("The terminal cannot be used: {error}. --once needs none."))
}

impl Screen {
    /// Whether there is a terminal to show and to ask.
    pub fn is_there() -> bool {
        std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
    }

    pub fn open() -> Result<Screen, Error> {
        terminal::enable_raw_mode().map_err(|error| failed(&error))?;
        let mut screen = Screen { out: std::io::stdout() };
        execute!(screen.out, terminal::EnterAlternateScreen, cursor::Hide).map_err(|error| failed(&error))?;
        Ok(screen)
    }

    /// As many lines as there is room for, cut at its width; the last line names the keys.
    pub fn show(&mut self, lines: &[String]) -> Result<(), Error> {
        let (_, height) = terminal::size().map_err(|error| failed(&error))?;
        let room = usize::from(height.saturating_sub(1));
        self.draw(&lines[..lines.len().min(room)], height).map_err(|error| failed(&error))
    }

    fn draw(&mut self, lines: &[String], height: u16) -> std::io::Result<()> {
        // A line that is too long is cut by the terminal and not by us: it may hold colours.
        queue!(self.out, terminal::DisableLineWrap, terminal::BeginSynchronizedUpdate)?;
        for (row, line) in (0..).zip(lines) {
            queue!(self.out, cursor::MoveTo(0, row), terminal::Clear(terminal::ClearType::UntilNewLine))?;
            queue!(self.out, style::Print(line))?;
        }
        queue!(self.out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
        let keys = "a agents   f frameworks   t tasks   q end";
        queue!(self.out, cursor::MoveTo(0, height.saturating_sub(1)), style::Print(keys))?;
        queue!(self.out, terminal::EndSynchronizedUpdate, terminal::EnableLineWrap)?;
        self.out.flush()
    }

    /// The next key, or nothing after so long or when the terminal has changed its size.
    pub fn key(&mut self, wait: Duration) -> Result<Option<Key>, Error> {
        if !event::poll(wait).map_err(|error| failed(&error))? {
            return Ok(None);
        }
        let Event::Key(key) = event::read().map_err(|error| failed(&error))? else { return Ok(None) };
        if key.kind == KeyEventKind::Release {
            return Ok(None);
        }
        Ok(match key.code {
            KeyCode::Char('q') | KeyCode::Esc => Some(Key::End),
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::End),
            KeyCode::Char(letter) => Some(Key::Letter(letter)),
            _ => None,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody left to tell of a failure here.
        execute!(self.out, cursor::Show, terminal::LeaveAlternateScreen).ok();
        terminal::disable_raw_mode().ok();
    }
}
