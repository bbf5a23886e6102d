//! JSONata in this process, as Step Functions evaluates it.
//!
//! It is compared with the reference implementation on every template of the definitions: see the tests below.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use jiff::Timestamp;
use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorError};
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::{Map, Value};

/// What an expression can see.
pub(crate) struct Scope<'a> {
    /// The variables.
    pub(crate) variables: &'a Map<String, Value>,
    /// The members of `$states`. Without any, `states` is a variable as the others.
    pub(crate) states: &'a [(&'a str, &'a Value)],
    /// What `$now()` and `$millis()` say.
    pub(crate) now: Timestamp,
}

/// An expression, parsed once.
struct Parsed {
    tree: Result<AstNode, String>,
    /// The names that follow a `$` in its text: no other variable can matter.
    names: Vec<String>,
}

thread_local! {
    /// The parsed expressions by their text. There are as many as the definitions have.
    static PARSED: RefCell<HashMap<String, Rc<Parsed>>> = RefCell::new(HashMap::new());
}

/// Fills in a template: replaces each of its `{% … %}` texts by the value of the expression. The error names an
/// expression that cannot be evaluated or has no value, and the reason.
pub(crate) fn fill(template: &Value, scope: &Scope<'_>) -> Result<Value, String> {
    let mut expressions = Vec::new();
    collect(template, &mut expressions);
    if expressions.is_empty() {
        return Ok(template.clone());
    }
    let parsed: Vec<_> = expressions.into_iter().map(parsed).collect();
    let names: BTreeSet<_> = parsed.iter().flat_map(|parsed| &parsed.names).collect();
    let mut context = Context::new();
    for name in names {
        if let Some(value) = scope.variable(name) {
            context.bind(name.clone(), value);
        }
    }
    let mut evaluator = Evaluator::with_context(context);
    replace_functions(&mut evaluator, scope.now).map_err(|error| error.to_string())?;
    fill_with(template, &mut evaluator)
}

/// Collects the expressions of a template.
fn collect<'a>(template: &'a Value, expressions: &mut Vec<&'a str>) {
    match template {
        Value::String(text) => expressions.extend(expression(text)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, expressions)),
        Value::Object(members) => {
            let members = members.values();
            members.for_each(|member| collect(member, expressions));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn fill_with(template: &Value, evaluator: &mut Evaluator) -> Result<Value, String> {
    match template {
        Value::String(text) => match expression(text) {
            Some(expression) => evaluate(expression, evaluator)
                .map_err(|reason| format!("`{expression}` cannot be evaluated: {reason}")),
            None => Ok(template.clone()),
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| fill_with(item, evaluator));
            items.collect()
        }
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| Ok((name.clone(), fill_with(member, evaluator)?)))
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(template.clone()),
    }
}

fn evaluate(expression: &str, evaluator: &mut Evaluator) -> Result<Value, String> {
    let parsed = parsed(expression);
    let tree = parsed.tree.as_ref().map_err(Clone::clone)?;
    let value = evaluator.evaluate(tree, &JValue::Undefined);
    let value = value.map_err(|error| error.to_string())?;
    match to_json(&value) {
        Some(value) => Ok(value),
        None if value.is_function() => Err("it gives a function".to_owned()),
        None => Err("it gives nothing".to_owned()),
    }
}

impl Scope<'_> {
    fn variable(&self, name: &str) -> Option<JValue> {
        if name == "states" && !self.states.is_empty() {
            let members = self.states.iter();
            let members = members.map(|(name, value)| ((*name).to_owned(), from_json(value)));
            return Some(JValue::object(members.collect()));
        }
        self.variables.get(name).map(from_json)
    }
}

/// The expression in a text like `{% $payment.orderId %}`.
fn expression(text: &str) -> Option<&str> {
    let inside = text.strip_prefix("{%")?.strip_suffix("%}")?;
    Some(inside.trim())
}

fn parsed(expression: &str) -> Rc<Parsed> {
    if let Some(known) = PARSED.with_borrow(|all| all.get(expression).cloned()) {
        return known;
    }
    let parsed = Rc::new(Parsed {
        tree: parser::parse(expression).map_err(|error| error.to_string()),
        names: names(expression),
    });
    PARSED.with_borrow_mut(|all| all.insert(expression.to_owned(), Rc::clone(&parsed)));
    parsed
}

fn names(expression: &str) -> Vec<String> {
    let mut names: Vec<_> = expression
        .split('$')
        .skip(1)
        .map(|rest| {
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        })
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Time is virtual; Step Functions has no `$eval`; and nothing may be random that does not come from the seed.
fn replace_functions(evaluator: &mut Evaluator, now: Timestamp) -> Result<(), EvaluatorError> {
    let absent = |name: &str| {
        Err(EvaluatorError::EvaluationError(format!(
            "${name} is not there"
        )))
    };
    evaluator.register_fn_override("now", move |_: &[JValue]| {
        Ok(JValue::string(format!("{now:.3}")))
    })?;
    evaluator.register_fn_override("millis", move |_: &[JValue]| {
        Ok(JValue::from_i64(now.as_millisecond()))
    })?;
    evaluator.register_fn_override("eval", move |_: &[JValue]| absent("eval"))?;
    evaluator.register_fn_override("random", move |_: &[JValue]| absent("random"))?;
    evaluator.register_fn_override("shuffle", move |_: &[JValue]| absent("shuffle"))
}

fn from_json(value: &Value) -> JValue {
    match value {
        Value::Null => JValue::Null,
        Value::Bool(value) => JValue::Bool(*value),
        Value::Number(number) => JValue::Number(number.as_f64().unwrap_or_default()),
        Value::String(text) => JValue::string(text.as_str()),
        Value::Array(items) => JValue::array(items.iter().map(from_json).collect()),
        Value::Object(members) => {
            let members = members.iter();
            JValue::object(
                members
                    .map(|(name, member)| (name.clone(), from_json(member)))
                    .collect(),
            )
        }
    }
}

/// What JavaScript's `JSON.stringify` makes of it: `None` for what it leaves out.
fn to_json(value: &JValue) -> Option<Value> {
    Some(match value {
        JValue::Null => Value::Null,
        JValue::Bool(value) => Value::Bool(*value),
        JValue::Number(number) => number_to_json(*number),
        JValue::String(text) => Value::String(text.to_string()),
        JValue::Array(items) => {
            let items = items.iter();
            Value::Array(
                items
                    .map(|item| to_json(item).unwrap_or_default())
                    .collect(),
            )
        }
        JValue::Object(members) => {
            let members = members.iter();
            Value::Object(
                members
                    .filter_map(|(name, member)| Some((name.clone(), to_json(member)?)))
                    .collect(),
            )
        }
        _ => return None,
    })
}

/// A whole number is written as one: 5, never 5.0.
fn number_to_json(number: f64) -> Value {
    // The bounds are powers of two, which an f64 holds exactly.
    if number.fract() == 0.0
        && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number)
    {
        return Value::from(number as i64);
    }
    if number.fract() == 0.0 && (0.0..18_446_744_073_709_551_616.0).contains(&number) {
        return Value::from(number as u64);
    }
    Value::from(number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use payment3_model::{Definition, Explorer, Filled, Machine, Policy, file};
    use serde_json::json;

    use super::*;
    use crate::random::Random;

    fn filled_at(template: &Value, variables: &Value, now: Timestamp) -> Result<Value, String> {
        let scope = Scope {
            variables: variables.as_object().unwrap(),
            states: &[],
            now,
        };
        fill(template, &scope)
    }

    #[test]
    fn templates_are_filled_in_as_step_functions_does() {
        let now: Timestamp = "2026-11-29T18:00:00.0071Z".parse().unwrap();
        let variables = json!({"states": {"input": {"id": "x", "none": null}}, "n": 4, "f": 0.5});
        let fill = |template: Value| filled_at(&template, &variables, now);
        let template = json!({
            "a": ["{% $states.input.id %}", "{%$n + 1%}"], "b": "$n", "c": "{% $states.input.none %}",
            "d": " {% $n %}", "e": 5.0, "f": "{% $f * 2 %}", "g": "{% $f + 1 %}"
        });
        let filled = json!({
            "a": ["x", 5], "b": "$n", "c": null, "d": " {% $n %}", "e": 5.0, "f": 1, "g": 1.5
        });
        assert_eq!(fill(template), Ok(filled));
        assert_eq!(
            fill(json!("{% $now() %}")),
            Ok("2026-11-29T18:00:00.007Z".into())
        );
        assert_eq!(
            fill(json!("{% $millis() %}")),
            Ok(1_795_975_200_007_i64.into())
        );
        for (template, problem) in [
            ("{% $states.input.gone %}", "it gives nothing"),
            ("{% $gone %}", "it gives nothing"),
            ("{% $n + 'x' %}", "cannot be evaluated"),
            ("{% $n + %}", "cannot be evaluated"),
            ("{% $eval('1') %}", "$eval is not there"),
            ("{% $random() %}", "$random is not there"),
            ("{% $string %}", "it gives a function"),
            ("{% function($x) { $x } %}", "it gives a function"),
        ] {
            let error = fill(template.into()).unwrap_err();
            assert!(error.contains(problem), "{template}: {error}");
        }
    }

    #[test]
    fn whole_numbers_stay_whole() {
        let variables = json!({ "n": 9_007_199_254_740_991_u64, "zero": 0, "amount": 5.0 });
        for (expression, expected) in [
            ("$n", "9007199254740991"),
            ("-$n", "-9007199254740991"),
            ("$n * 1024", "9223372036854774784"),
            ("$n * 2048", "18446744073709549568"),
            ("-$zero", "0"),
            ("$amount", "5"),
            ("$amount / 2", "2.5"),
            ("$string($amount)", "\"5\""),
            ("$string(-$amount)", "\"-5\""),
        ] {
            let template = format!("{{% {expression} %}}").into();
            let value = filled_at(&template, &variables, Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(value.to_string(), expected, "{expression}");
        }
    }

    /// How much of each machine is explored: enough to evaluate every expression many times.
    const NODES: usize = 20_000;
    /// How often each template is tried with variables that no execution has.
    const MUTATED: usize = 400;

    #[test]
    #[ignore = "needs the JSONata package: cargo local test sim"]
    fn every_template_has_the_value_that_the_reference_gives() {
        let (mut explorer, templates) = explored();
        let reference = explorer.jsonata();
        let random = Random::new(1);
        let mut differences = Vec::new();
        let (mut met, mut mutated, mut without_value) = (0, 0, 0);
        for all in templates.values() {
            met += all.len();
            differences.extend(all.iter().filter_map(difference));
            let paths = paths(&all[0].template.to_string());
            for _ in 0..if paths.is_empty() { 0 } else { MUTATED } {
                let mut filled = random.pick(all).clone();
                for _ in 0..=random.below(2) {
                    let path: &Vec<_> = random.pick(&paths);
                    mutate(&mut filled.variables, path, &random);
                }
                let value = reference.fill(&filled.template, &filled.variables, filled.clock);
                filled.value = value.unwrap();
                mutated += 1;
                without_value += usize::from(filled.value.is_err());
                differences.extend(difference(&filled));
            }
        }
        println!(
            "{} templates: {met} times with variables of the model, {mutated} times with others, {without_value} of them \
             without a value",
            templates.len()
        );
        let shown = &differences[..differences.len().min(20)];
        let (all, shown) = (differences.len(), shown.join("\n"));
        assert!(differences.is_empty(), "{all} differences:\n{shown}");
    }

    /// Each template with an expression, with the variables that the model's explorations met; and an explorer whose
    /// evaluator can be asked for more.
    fn explored() -> (Explorer, BTreeMap<String, Vec<Filled>>) {
        let mut templates: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut last = None;
        for machine in Machine::ALL {
            let mut explorer = Explorer::new(machine).unwrap();
            let text = std::fs::read_to_string(file(machine)).unwrap();
            let mut expressions = BTreeSet::new();
            for policy in Policy::ALL {
                let definition = Definition::read(&text, policy).unwrap();
                explorer.explore_part(&definition, NODES).unwrap();
                let mut found = Vec::new();
                collect(&definition.source, &mut found);
                expressions.extend(found.into_iter().map(str::to_owned));
                // Only payments have a policy.
                if machine == Machine::Refund {
                    break;
                }
            }
            for filled in explorer.jsonata().filled().unwrap() {
                let mut found = Vec::new();
                collect(&filled.template, &mut found);
                for expression in found {
                    expressions.remove(expression);
                }
                let all: &mut Vec<_> = templates.entry(filled.template.to_string()).or_default();
                all.push(filled);
            }
            assert!(expressions.is_empty(), "never evaluated: {expressions:#?}");
            last = Some(explorer);
        }
        (last.unwrap(), templates)
    }

    /// What is different here from the reference. The reason why there is no value may be.
    fn difference(filled: &Filled) -> Option<String> {
        let scope = Scope {
            variables: &filled.variables,
            states: &[],
            now: Timestamp::from_millisecond(filled.clock.millis()).unwrap(),
        };
        let here = fill(&filled.template, &scope);
        let same = match (&here, &filled.value) {
            // Here 5 is not 5.0.
            (Ok(here), Ok(reference)) => here == reference,
            (Err(_), Err(_)) => true,
            _ => false,
        };
        let Filled {
            template,
            variables,
            value,
            ..
        } = filled;
        let variables = Value::Object(variables.clone());
        (!same).then(|| {
            format!("{template}\n  with {variables}\n  here {here:?}\n  reference {value:?}")
        })
    }

    /// What the expressions of a template refer to: `["payment", "orderId"]` for `$payment.orderId`.
    fn paths(template: &str) -> Vec<Vec<String>> {
        let references = template.split('$').skip(1).map(|rest| {
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && !"_.".contains(letter));
            let names = rest[..end.unwrap_or(rest.len())].split('.');
            names.map(str::to_owned).collect()
        });
        references.collect()
    }

    /// Removes something on the path, or puts something else there.
    fn mutate(variables: &mut Map<String, Value>, path: &[String], random: &Random) {
        let others = [
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(-1),
            json!(1.5),
            json!(0.1),
            json!(1e-7),
            json!(4_102_444_800_000_i64),
            // The reference writes 15 digits at most into a text; newer versions, and this one, write all.
            json!(999_999_999_999_999_u64),
            json!(""),
            json!("0"),
            json!("12.50"),
            json!("paid"),
            json!("order"),
            json!("verification"),
            json!("Authorized"),
            json!("Settled"),
            json!("สวัสดี \u{1f4b3} \"\\\n"),
            json!([]),
            json!([1]),
            json!(["Settled"]),
            json!([[1, 2], [], null]),
            json!({}),
            json!({ "N": "7", "S": "x" }),
            json!([{ "N": "7" }, { "N": 8 }]),
        ];
        // Most often the last one: above it, all ends early.
        let last = path.len() - 1;
        let depth = match random.chance(0.7) {
            true => last,
            false => random.below(path.len() as u64) as usize,
        };
        let mut at = variables;
        for name in &path[..depth] {
            match at.get_mut(name) {
                Some(Value::Object(members)) => at = members,
                _ => return,
            }
        }
        if random.chance(0.2) {
            at.remove(&path[depth]);
        } else {
            at.insert(path[depth].clone(), random.pick(&others).clone());
        }
    }
}
