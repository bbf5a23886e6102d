//! Explores all paths: from every input of an execution, through every answer and every error of every task, to every
//! end.
//!
//! A node is an execution at a state, with its variables and the state of the system. Equal nodes are visited only
//! once, so paths are counted without following each of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::AddAssign;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::definition::{Choice, Definition, Machine, State, Task, Wait};
use crate::jsonata::Jsonata;
use crate::properties::{self, Broken, Property, Scene, broken};
use crate::system::{Card, NOW_TEXT, SystemState};
use crate::tasks::{self, CHARGE, Call, Tasks};
use crate::treatment::{Agreed, Error, Treatment, errors, treatment};

/// How many violations of one property are reported.
const SHOWN: usize = 3;

/// A number of paths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paths {
    /// All paths.
    pub all: u128,
    /// The paths on which every task answers at its first try.
    pub first_try: u128,
}

impl AddAssign for Paths {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.first_try += other.first_try;
    }
}

/// A broken property, and the path on which it broke.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The property.
    pub property: Property,
    /// What exactly is wrong.
    pub details: String,
    /// The answer of each state on the path.
    pub path: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.details)?;
        self.path
            .iter()
            .try_for_each(|step| write!(f, "\n    {step}"))
    }
}

/// The result of an exploration.
#[derive(Debug, Default)]
pub struct Report {
    /// The paths from a start to an end.
    pub paths: Paths,
    /// The number of different nodes.
    pub nodes: usize,
    /// How every error of every task is treated.
    pub treatments: BTreeMap<(String, String), Treatment>,
    /// The broken properties.
    pub violations: Vec<Violation>,
    /// How long it took.
    pub took: Duration,
}

/// Explores definitions. It keeps the results of expressions for the next exploration.
pub struct Explorer {
    jsonata: Jsonata,
    tasks: Tasks,
    agreed: Agreed,
}

impl Explorer {
    /// Starts the evaluator of expressions.
    ///
    /// # Errors
    /// Something that it needs is missing.
    pub fn new() -> Result<Self> {
        Ok(Self {
            jsonata: Jsonata::start()?,
            tasks: Tasks::new(),
            agreed: Agreed::read(Machine::Payment)?,
        })
    }

    /// Explores a definition. With `until`, it stops when that property breaks.
    ///
    /// # Errors
    /// The evaluator has died. Broken properties are in the report.
    pub fn explore(&mut self, definition: &Definition, until: Option<Property>) -> Result<Report> {
        let start = Instant::now();
        let mut exploration = Exploration {
            explorer: self,
            definition,
            until,
            carried: definition.carried(&properties::READ_OF_OUTPUTS),
            known: HashMap::new(),
            filled: HashMap::new(),
            path: Vec::new(),
            seen: BTreeSet::new(),
            report: Report::default(),
        };
        for input in tasks::inputs() {
            let node = Node {
                state: definition.start_at.as_str().into(),
                input: input.clone().into(),
                variables: Rc::default(),
                course: Rc::default(),
                system: Rc::default(),
                again: false,
            };
            let paths = exploration.go(|| format!("started with {input}"), node, 1, true)?;
            exploration.report.paths += paths;
        }
        if !exploration.is_over() {
            exploration.check_coverage();
        }
        exploration.report.nodes = exploration.known.len();
        exploration.report.took = start.elapsed();
        Ok(exploration.report)
    }
}

/// An execution at a state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Node {
    state: Rc<str>,
    input: Rc<Value>,
    variables: Rc<Map<String, Value>>,
    /// The states that it has left, see [`Scene::course`].
    course: Rc<BTreeSet<String>>,
    system: Rc<SystemState>,
    /// Whether its task is retried after an error. One retry represents all of them.
    again: bool,
}

/// Why a path stops.
enum Stop {
    Broken(Broken),
    EvaluatorDied(anyhow::Error),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::EvaluatorDied(error)
    }
}

/// How an execution leaves a state.
struct Leaving<'l> {
    /// What `$states` has in addition to the input.
    shown: Option<(&'static str, Value)>,
    assign: &'l Value,
    /// The input of the next state. By default it is the value in `shown`, or the input of this state.
    output: Option<&'l Value>,
    /// Its entry in the course.
    step: String,
    system: Rc<SystemState>,
}

/// A template, the input and the variables of the execution, and what `$states` has in addition.
type Question = (
    usize,
    Rc<Value>,
    Rc<Map<String, Value>>,
    Option<(&'static str, Value)>,
);

struct Exploration<'w> {
    explorer: &'w mut Explorer,
    definition: &'w Definition,
    until: Option<Property>,
    /// Variables whose values decide nothing. Nodes that differ only in these are equal.
    carried: BTreeSet<String>,
    /// The paths from each node; `None` while it is being explored.
    known: HashMap<Node, Option<Paths>>,
    /// The value of each template for each execution.
    filled: HashMap<Question, Result<Value, Broken>>,
    path: Vec<String>,
    seen: BTreeSet<String>,
    report: Report,
}

impl<'w> Exploration<'w> {
    fn is_over(&self) -> bool {
        let mut found = self.report.violations.iter();
        self.until
            .is_some_and(|property| found.any(|violation| violation.property == property))
    }

    /// The paths from a node that is reached in a number of ways.
    fn go(
        &mut self,
        label: impl FnOnce() -> String,
        node: Node,
        ways: usize,
        first_try: bool,
    ) -> Result<Paths> {
        if self.is_over() {
            return Ok(Paths::default());
        }
        let paths = match self.known.get(&node) {
            Some(Some(paths)) => *paths,
            Some(None) => {
                let problem = format!("it reaches {} twice", node.state);
                self.note((Property::EndsWhereMeant, problem));
                Paths::default()
            }
            None => {
                self.known.insert(node.clone(), None);
                self.path.push(label());
                let paths = self.from(&node)?;
                self.path.pop();
                self.known.insert(node, Some(paths));
                paths
            }
        };
        Ok(counted(paths, ways, first_try))
    }

    fn from(&mut self, node: &Node) -> Result<Paths> {
        let entered = properties::entering(&node.state, &self.scene(node));
        entered.unwrap_or_else(|problem| self.note(problem));
        self.seen.insert(node.state.to_string());
        let definition = self.definition;
        let left = match definition.states.get(&*node.state) {
            Some(State::Task(task)) => self.task(node, task),
            Some(State::Choice(choice)) => self.choice(node, choice),
            Some(State::Wait(wait)) => self.wait(node, wait),
            Some(State::Succeed(_)) => self.succeed(node, &node.input),
            Some(State::Fail(fail)) => {
                let problem = format!("it fails in {} with {}", node.state, fail.error);
                broken(Property::EndsWhereMeant, problem).map_err(Stop::from)
            }
            None => Ok(Paths::default()),
        };
        self.unless_broken(left)
    }

    fn task(&mut self, node: &Node, task: &Task) -> Result<Paths, Stop> {
        let state = &node.state;
        let arguments = self.fill(node, None, &task.arguments)?;
        let callee = task.callee();
        let Some(errors) = errors(&callee) else {
            let problem = format!(
                "{state} calls `{callee}`, which ACTIVITIES in activities/src/activity/mod.rs does not list"
            );
            return Ok(broken(Property::Understood, problem)?);
        };
        let call = Call {
            state,
            callee: &callee,
            arguments: &arguments,
        };
        let answers = self.explorer.tasks.ask(&call, &node.system)?;
        if let Some(problem) = answers.problem {
            self.note(problem);
        }
        let mut paths = Paths::default();
        for given in answers.given {
            match given.result {
                Ok(result) => {
                    let leaving = Leaving {
                        shown: Some(("result", result)),
                        assign: &task.assign,
                        output: task.output.as_ref(),
                        step: state.to_string(),
                        system: given.system,
                    };
                    let label = || format!("{state} {}", given.label);
                    paths += self.leave(node, leaving, task.next.as_deref(), 1, true, &label)?;
                }
                Err(error) => {
                    let treatment = self.treated(state, task, error);
                    paths += self.fail(
                        node,
                        task,
                        &treatment,
                        &[error],
                        &given.system,
                        &given.label,
                    )?;
                }
            }
        }
        // A retry may fail again. That is the same as its first failure, which is covered already.
        if node.again {
            return Ok(paths);
        }
        for (treatment, half_done, names) in self.grouped(state, task, &errors) {
            let systems =
                std::iter::once(&node.system).chain(answers.half_done.iter().filter(|_| half_done));
            for (done, system) in systems.enumerate() {
                let when = if done > 0 {
                    ", half done or unanswered"
                } else {
                    ""
                };
                let label = match names.as_slice() {
                    [name] => format!("{name}{when}"),
                    names => format!("{} or {} similar{when}", names[0], names.len() - 1),
                };
                paths += self.fail(node, task, &treatment, &names, system, &label)?;
            }
        }
        Ok(paths)
    }

    /// Groups the errors that are no answers. Errors in a group are treated alike, and no state sees which one it was.
    fn grouped(
        &mut self,
        state: &str,
        task: &Task,
        errors: &[Error],
    ) -> Vec<(Treatment, bool, Vec<&'static str>)> {
        let mut alike: Vec<(Treatment, bool, Vec<&'static str>)> = Vec::new();
        for error in errors {
            let treatment = self.treated(state, task, error.name);
            if error.definite && error.name != payment3_activities::lambda::INVALID_INPUT {
                continue;
            }
            let like_it = alike.iter_mut().find(|(other, half_done, _)| {
                *other == treatment && *half_done != error.definite && treatment.caught_to.is_none()
            });
            match like_it {
                Some((.., names)) => names.push(error.name),
                None => alike.push((treatment, !error.definite, vec![error.name])),
            }
        }
        alike
    }

    /// How an error is treated. Notes a violation if that is not as agreed.
    fn treated(&mut self, state: &str, task: &Task, error: &str) -> Treatment {
        let key = (state.to_owned(), error.to_owned());
        if let Some(known) = self.report.treatments.get(&key) {
            return known.clone();
        }
        let (treatment, _) = treatment(task, error);
        let agreed = self.explorer.agreed.on(state, error).to_owned();
        if treatment.to_string() != agreed {
            let problem = format!("{state} | {error} | {treatment}; agreed: {agreed}");
            self.note((Property::Treatment, problem));
        }
        self.report.treatments.insert(key, treatment.clone());
        treatment
    }

    /// The paths after errors. If the errors are retried and this is the first try, the task is tried again. For the
    /// case that all retries fail, the errors are also caught, or the execution fails in place.
    fn fail(
        &mut self,
        node: &Node,
        task: &Task,
        treated: &Treatment,
        names: &[&'static str],
        system: &Rc<SystemState>,
        label: &str,
    ) -> Result<Paths, Stop> {
        let state = &node.state;
        let mut paths = Paths::default();
        self.seen
            .extend(names.iter().map(|name| format!("{state}: {name}")));
        if treated.retried && !node.again {
            let again = Node {
                again: true,
                system: Rc::clone(system),
                ..node.clone()
            };
            let label = || format!("{state} {label}, tried again");
            paths += self.go(label, again, names.len(), false)?;
        }
        let Some(next) = &treated.caught_to else {
            let callee = task.callee();
            let failing = names
                .iter()
                .map(|name| properties::failing(state, &callee, name, system));
            failing
                .filter_map(Result::err)
                .for_each(|problem| self.note_at(label, problem));
            paths += counted(
                Paths {
                    all: 1,
                    first_try: 1,
                },
                names.len(),
                !treated.retried,
            );
            return Ok(paths);
        };
        for name in names {
            if let Err(problem) = properties::going_to(next, state, Some(name)) {
                self.note(problem);
            }
            let Some(catcher) = treatment(task, name).1 else {
                continue;
            };
            let leaving = Leaving {
                shown: Some((
                    "errorOutput",
                    json!({"Error": name, "Cause": "the model's"}),
                )),
                assign: &catcher.assign,
                output: catcher.output.as_ref(),
                step: format!("{state} caught"),
                system: caught(task, name, system),
            };
            let label = || format!("{state} {label}, caught");
            paths += self.leave(node, leaving, Some(next), 1, !treated.retried, &label)?;
        }
        Ok(paths)
    }

    fn choice(&mut self, node: &Node, choice: &Choice) -> Result<Paths, Stop> {
        let state = &node.state;
        let mut taken = ("else", &choice.default, None);
        for rule in &choice.choices {
            match self.fill(node, None, &rule.condition)? {
                Value::Bool(false) => {}
                Value::Bool(true) => {
                    taken = (&rule.comment, &rule.next, rule.output.as_ref());
                    break;
                }
                other => {
                    let problem =
                        format!("{state}: the condition of `{}` gives {other}", rule.comment);
                    return Ok(broken(Property::Evaluates, problem)?);
                }
            }
        }
        let (branch, next, output) = taken;
        self.seen.insert(format!("{state}: {branch}"));
        properties::going_to(next, state, None)?;
        let leaving = Leaving {
            shown: None,
            assign: &Value::Null,
            output,
            step: state.to_string(),
            system: Rc::clone(&node.system),
        };
        self.leave(node, leaving, Some(next), 1, true, &|| {
            format!("{state} {branch}")
        })
    }

    fn wait(&mut self, node: &Node, wait: &Wait) -> Result<Paths, Stop> {
        let seconds = self.fill(node, None, &wait.seconds)?;
        if seconds.as_f64().is_none_or(|seconds| seconds < 0.0) {
            let problem = format!("{} waits for {seconds} seconds", node.state);
            return Ok(broken(Property::Evaluates, problem)?);
        }
        let leaving = Leaving {
            shown: None,
            assign: &Value::Null,
            output: wait.output.as_ref(),
            step: node.state.to_string(),
            system: Rc::clone(&node.system),
        };
        let label = || format!("{} {seconds} s", node.state);
        self.leave(node, leaving, Some(&wait.next), 1, true, &label)
    }

    /// The paths from the next state. Variables and output are both computed with the variables from before the state.
    fn leave(
        &mut self,
        node: &Node,
        leaving: Leaving<'_>,
        next: Option<&str>,
        ways: usize,
        first_try: bool,
        label: &dyn Fn() -> String,
    ) -> Result<Paths, Stop> {
        let mut after = node.clone();
        let shown = leaving.shown.as_ref();
        if !leaving.assign.is_null() {
            let assigned = self.fill(node, shown, leaving.assign)?;
            let mut assigned = assigned.as_object().cloned().unwrap_or_default();
            for (name, value) in &mut assigned {
                if self.carried.contains(name) {
                    *value = Value::Null;
                }
            }
            Rc::make_mut(&mut after.variables).extend(assigned);
        }
        match (leaving.output, leaving.shown.as_ref()) {
            (Some(output), shown) => after.input = self.fill(node, shown, output)?.into(),
            (None, Some((_, shown))) => after.input = shown.clone().into(),
            (None, None) => {}
        }
        Rc::make_mut(&mut after.course).insert(leaving.step);
        after.system = leaving.system;
        after.again = false;
        match next {
            Some(next) => {
                after.state = next.into();
                Ok(self.go(label, after, ways, first_try)?)
            }
            None => {
                self.path.push(label());
                let ended = self.succeed(&after, &after.input);
                let ended = self.unless_broken(ended);
                self.path.pop();
                Ok(counted(ended?, ways, first_try))
            }
        }
    }

    fn succeed(&self, node: &Node, output: &Value) -> Result<Paths, Stop> {
        properties::success(&node.state, output, &self.scene(node))?;
        Ok(Paths {
            all: 1,
            first_try: 1,
        })
    }

    /// Fills in a template of the definition for an execution at a state.
    fn fill(
        &mut self,
        node: &Node,
        shown: Option<&(&'static str, Value)>,
        template: &Value,
    ) -> Result<Value, Stop> {
        // The definition does not move in memory while it is explored, so an address identifies a template.
        let question = (
            std::ptr::from_ref(template) as usize,
            Rc::clone(&node.input),
            Rc::clone(&node.variables),
            shown.cloned(),
        );
        if let Some(filled) = self.filled.get(&question) {
            return Ok(filled.clone()?);
        }
        let mut states = json!({
            "input": *node.input,
            "context": {
                "Execution": {"Name": CHARGE, "StartTime": NOW_TEXT, "RedriveCount": 0},
                "State": {"Name": *node.state, "EnteredTime": NOW_TEXT, "RetryCount": 0},
            },
        });
        if let Some((name, value)) = shown {
            states[*name] = value.clone();
        }
        let mut variables = Map::clone(&node.variables);
        variables.insert("states".to_owned(), states);
        let filled = self.explorer.jsonata.fill(template, &variables)?;
        let filled =
            filled.map_err(|problem| (Property::Evaluates, format!("{}: {problem}", node.state)));
        self.filled.insert(question, filled.clone());
        Ok(filled?)
    }

    fn scene<'n>(&self, node: &'n Node) -> Scene<'n> {
        Scene {
            policy: self.definition.policy,
            variables: &node.variables,
            course: &node.course,
            system: &node.system,
        }
    }

    fn unless_broken(&mut self, paths: Result<Paths, Stop>) -> Result<Paths> {
        match paths {
            Ok(paths) => Ok(paths),
            Err(Stop::EvaluatorDied(error)) => Err(error),
            Err(Stop::Broken(problem)) => {
                self.note(problem);
                Ok(Paths::default())
            }
        }
    }

    /// Notes a property that breaks when an error ends the execution.
    fn note_at(&mut self, error: &str, problem: Broken) {
        self.path.push(error.to_owned());
        self.note(problem);
        self.path.pop();
    }

    fn note(&mut self, (property, details): Broken) {
        let like_it = self
            .report
            .violations
            .iter()
            .filter(|other| other.property == property);
        let known = like_it.clone().any(|other| other.details == details);
        if !known && like_it.count() < SHOWN {
            let path = self.path.clone();
            self.report.violations.push(Violation {
                property,
                details,
                path,
            });
        }
    }

    fn check_coverage(&mut self) {
        let mut expected: BTreeSet<String> = self
            .explorer
            .agreed
            .listed()
            .map(|(state, error)| format!("{state}: {error}"))
            .collect();
        for (name, state) in &self.definition.states {
            expected.insert(name.clone());
            match state {
                State::Task(task) => {
                    let caught = task.catch.iter().flat_map(|rule| &rule.error_equals);
                    // A wildcard is reached if any error is.
                    let named = caught.filter(|error| *error != "States.ALL");
                    expected.extend(named.map(|error| format!("{name}: {error}")));
                }
                State::Choice(choice) => {
                    let branches = choice.choices.iter().map(|rule| rule.comment.as_str());
                    expected.extend(
                        branches
                            .chain(["else"])
                            .map(|branch| format!("{name}: {branch}")),
                    );
                }
                State::Wait(_) | State::Succeed(_) | State::Fail(_) => {}
            }
        }
        let missing: Vec<_> = expected.difference(&self.seen).cloned().collect();
        self.path.clear();
        for what in missing {
            self.note((Property::EverythingIsReached, what));
        }
    }
}

/// The system after a caught error: a card that was refused, or retried for long enough, is not saved.
fn caught(task: &Task, error: &str, system: &Rc<SystemState>) -> Rc<SystemState> {
    if !tasks::saves_cards(&task.callee()) {
        return Rc::clone(system);
    }
    let card = match error {
        "CardNotSaved" => Card::Refused,
        _ => Card::Failed,
    };
    let system = SystemState::clone(system);
    Rc::new(SystemState { card, ..system })
}

fn counted(paths: Paths, ways: usize, first_try: bool) -> Paths {
    Paths {
        all: paths.all * ways as u128,
        first_try: if first_try {
            paths.first_try * ways as u128
        } else {
            0
        },
    }
}
