//! Rules as alternatives of conditions that hold at once, which is what routes can say.

use super::parse::Tree;

/// A rule with more alternatives is not compiled.
pub(crate) const MOST_ALTERNATIVES: usize = 256;

/// A condition, or its contrary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Literal<T> {
    /// The condition.
    pub(crate) matcher: T,
    /// Whether it must not hold.
    pub(crate) negated: bool,
}

/// Conditions that hold at once.
pub(crate) type Alternative<T> = Vec<Literal<T>>;

/// The disjunctive normal form of a rule; none: it would have more than [`MOST_ALTERNATIVES`].
pub(crate) fn alternatives<T: Clone + PartialEq>(tree: &Tree<T>) -> Option<Vec<Alternative<T>>> {
    of(tree, false)
}

fn of<T: Clone + PartialEq>(tree: &Tree<T>, negated: bool) -> Option<Vec<Alternative<T>>> {
    match tree {
        Tree::Leaf(matcher) => {
            let matcher = matcher.clone();
            Some(vec![vec![Literal { matcher, negated }]])
        }
        Tree::Not(inner) => of(inner, !negated),
        // by De Morgan the contrary of one is of the other kind
        Tree::And(all) if negated => any(all, negated),
        Tree::Or(all) if negated => every(all, negated),
        Tree::And(all) => every(all, negated),
        Tree::Or(all) => any(all, negated),
    }
}

fn any<T: Clone + PartialEq>(all: &[Tree<T>], negated: bool) -> Option<Vec<Alternative<T>>> {
    let mut found = Vec::new();
    for tree in all {
        found.extend(of(tree, negated)?);
        if found.len() > MOST_ALTERNATIVES {
            return None;
        }
    }
    Some(found)
}

fn every<T: Clone + PartialEq>(all: &[Tree<T>], negated: bool) -> Option<Vec<Alternative<T>>> {
    let mut found: Vec<Alternative<T>> = vec![Vec::new()];
    for tree in all {
        let more = of(tree, negated)?;
        if found.len().saturating_mul(more.len()) > MOST_ALTERNATIVES {
            return None;
        }
        let product = found.iter().flat_map(|left| {
            more.iter().map(|right| {
                let mut both = left.clone();
                let new = right.iter().filter(|literal| !left.contains(literal));
                both.extend(new.cloned());
                both
            })
        });
        found = product.collect();
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::traefik::rules::parse::{Call, parse};

    fn shown(text: &str) -> String {
        let tree: Tree<Call> = parse(text).expect("a rule");
        let named: Result<Tree<String>, ()> =
            tree.try_map(&mut |call| Ok(Tree::Leaf(call.args[0].text.clone())));
        let all = alternatives(&named.expect("no leaf fails")).expect("few");
        let all = all.iter().map(|alternative| {
            let each = alternative.iter().map(|literal| match literal.negated {
                true => format!("!{}", literal.matcher),
                false => literal.matcher.clone(),
            });
            each.collect::<Vec<_>>().join("&")
        });
        all.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn rules_are_spread_out() {
        for (rule, want) in [
            ("H(`a`)", "a"),
            ("H(`a`) && H(`b`)", "a&b"),
            ("H(`a`) && (H(`b`) || H(`c`))", "a&b | a&c"),
            (
                "(H(`a`) || H(`b`)) && (H(`c`) || H(`d`))",
                "a&c | a&d | b&c | b&d",
            ),
            ("!(H(`a`) && H(`b`))", "!a | !b"),
            ("!(H(`a`) || !H(`b`))", "!a&b"),
            ("H(`a`) && !!H(`a`)", "a"),
        ] {
            assert_eq!(shown(rule), want, "{rule}");
        }
    }

    #[test]
    fn what_would_grow_without_bound_is_none() {
        let pair = "(H(`a`) || H(`b`))";
        let few = [pair; 8].join(" && ");
        assert_eq!(shown(&few).matches(" | ").count(), 255);
        let many = [pair; 40].join(" && ");
        assert!(alternatives(&parse(&many).expect("a rule")).is_none());
    }
}
