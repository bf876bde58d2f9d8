//! The page that a browser opens, and its scripts: is there a timer of its own, and does it ask for the policy?

use super::client::{Answer, Client};
use super::constants;
use super::seen::Timer;
use http::{HeaderValue, header};
use lol_html::{RewriteStrSettings, element, rewrite_str, text};
use std::cell::RefCell;
use url::Url;

/// More are a sign that something is wrong with the page, or with us.
const MOST_SCRIPTS: usize = 40;

#[derive(Default)]
pub struct Page {
    pub timers: Vec<Timer>,
    pub asks_policy: bool,
    /// Scripts that were read, those in the page included.
    pub scripts: usize,
    /// Scripts of other origins, which are not fetched.
    pub foreign: usize,
    /// Scripts that could not be read: they did not come, or in a coding that was not asked for.
    pub unread: usize,
}

impl Page {
    /// Reads the page that came, and the scripts of the same origin that it names.
    pub async fn read(client: &Client, answer: &Answer, cookies: Option<&HeaderValue>) -> Self {
        let mut page = Self::default();
        if !answer.is("html") || !answer.status.is_success() {
            return page;
        }
        if is_coded(answer) {
            page.unread = 1;
            return page;
        }
        let (places, inline) = scripts(&String::from_utf8_lossy(&answer.body));
        for script in inline {
            page.take(&script, answer.url.path());
        }
        let mut known: Vec<Url> = Vec::new();
        for place in places.iter().filter_map(|place| answer.url.join(place).ok()) {
            if !client.is_own(&place) {
                page.foreign += 1;
            } else if !known.contains(&place) && known.len() < MOST_SCRIPTS {
                known.push(place);
            }
        }
        for place in known {
            // slidecar's own client follows the policy; what it holds is half of it.
            if place.path().contains("/session-client") {
                page.asks_policy = true;
                continue;
            }
            match client.send(client.get(&place, cookies.cloned())).await {
                Ok(script) if script.status.is_success() && !script.is("html") && !is_coded(&script) => {
                    page.take(&String::from_utf8_lossy(&script.body), place.path());
                }
                // A page without one of its scripts still tells something.
                Ok(_) | Err(_) => page.unread += 1,
            }
        }
        page
    }

    fn take(&mut self, script: &str, file: &str) {
        self.scripts += 1;
        self.asks_policy |= script.contains("session-policy");
        let found = constants::find(script).into_iter();
        self.timers.extend(found.map(|constant| Timer { span: constant.span, name: constant.name, file: file.to_owned() }));
    }
}

fn is_coded(answer: &Answer) -> bool {
    answer.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Where scripts are, and those that stand in the page itself.
fn scripts(page: &str) -> (Vec<String>, Vec<String>) {
    let (places, inline) = (RefCell::new(Vec::new()), RefCell::new(vec![String::new()]));
    let handlers = vec![
        element!("script[src], link[rel=modulepreload][href]", |element| {
            let place = element.get_attribute("src").or_else(|| element.get_attribute("href"));
            places.borrow_mut().extend(place);
            Ok(())
        }),
        text!("script:not([src])", |chunk| {
            let mut inline = inline.borrow_mut();
            if let Some(last) = inline.last_mut() {
                last.push_str(chunk.as_str());
            }
            if chunk.last_in_text_node() {
                inline.push(String::new());
            }
            Ok(())
        }),
    ];
    // A page that cannot be read to its end has told what stood before.
    let _ = rewrite_str(page, RewriteStrSettings { element_content_handlers: handlers, ..RewriteStrSettings::new() });
    (places.into_inner(), inline.into_inner().into_iter().filter(|script| !script.trim().is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_scripts_of_a_page_are_found_wherever_they_stand() {
        let page = "<!doctype html><script src=/a.js></script><link rel=modulepreload href='b.js'><link rel=stylesheet href=c.css>
            <body><script>const a = '<p>';</script><p>const no = 1;</p><script type=module>b()</script><script src='//cdn.example/d.js'>";
        let (places, inline) = scripts(page);
        assert_eq!(places, ["/a.js", "b.js", "//cdn.example/d.js"]);
        assert_eq!(inline, ["const a = '<p>';", "b()"]);
    }
}
