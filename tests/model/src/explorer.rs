//! Explores all paths: from every input of an execution, through every answer and every error of every task, to every
//! end.
//!
//! A node is an execution at a state, with its variables and the state of the system. Equal nodes are visited only
//! once, so paths are counted without following each of them, and a machine that waits and asks again has an end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{AddAssign, Deref};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::definition::{Choice, Definition, Machine, State, Task, Wait};
use crate::jsonata::{Clock, Jsonata};
use crate::properties::{Broken, Property, Scene, broken};
use crate::refunds::Refunds;
use crate::system::NOW_TEXT;
use crate::tasks::Tasks;
use crate::treatment::{Agreed, Error, Treatment, errors, treatment};
use crate::world::{CHARGE, Call, World};

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
    /// The paths from a start to an end. `None` if there are loops.
    pub paths: Option<Paths>,
    /// The number of different nodes.
    pub nodes: usize,
    /// The number of steps between them.
    pub steps: usize,
    /// How every error of every task is treated.
    pub treatments: BTreeMap<(String, String), Treatment>,
    /// The broken properties.
    pub violations: Vec<Violation>,
    /// How long it took.
    pub took: Duration,
}

/// Explores definitions of a machine. It keeps the results of expressions for the next exploration.
pub struct Explorer {
    jsonata: Jsonata,
    agreed: Agreed,
    /// What surrounds refunds. It knows what the activities answered before.
    refunds: Option<Rc<Refunds>>,
}

impl Explorer {
    /// Starts the evaluator of expressions.
    ///
    /// # Errors
    /// Something that it needs is missing.
    pub fn new(machine: Machine) -> Result<Self> {
        Ok(Self {
            jsonata: Jsonata::start()?,
            agreed: Agreed::read(machine)?,
            refunds: match machine {
                Machine::Payment => None,
                Machine::Refund => Some(Rc::new(Refunds::new()?)),
            },
        })
    }

    /// The evaluator, with everything that the explorations have filled in.
    pub fn jsonata(&mut self) -> &mut Jsonata {
        &mut self.jsonata
    }

    /// Explores a definition. With `until`, it stops when that property breaks.
    ///
    /// # Errors
    /// The evaluator has died. Broken properties are in the report.
    pub fn explore(&mut self, definition: &Definition, until: Option<Property>) -> Result<Report> {
        self.explore_with(definition, until, usize::MAX)
    }

    /// Explores the part of a definition that is reached first, up to about this number of nodes.
    ///
    /// # Errors
    /// As [`Self::explore`].
    pub fn explore_part(&mut self, definition: &Definition, nodes: usize) -> Result<Report> {
        self.explore_with(definition, None, nodes)
    }

    fn explore_with(
        &mut self,
        definition: &Definition,
        until: Option<Property>,
        nodes: usize,
    ) -> Result<Report> {
        match self.refunds.clone() {
            None => self.explore_in(&Tasks::new(definition), definition, until, nodes),
            Some(refunds) => self.explore_in(&*refunds, definition, until, nodes),
        }
    }

    fn explore_in<W: World>(
        &mut self,
        world: &W,
        definition: &Definition,
        until: Option<Property>,
        nodes: usize,
    ) -> Result<Report> {
        let start = Instant::now();
        let mut exploration = Exploration {
            explorer: self,
            world,
            definition,
            until,
            nodes,
            inputs: Pool::new(),
            variables: Pool::new(),
            courses: Pool::new(),
            systems: Pool::new(),
            known: HashMap::new(),
            visited: Vec::new(),
            waiting: VecDeque::new(),
            starts: Vec::new(),
            here: None,
            filled: HashMap::new(),
            seen: BTreeSet::new(),
            report: Report::default(),
        };
        for (input, system) in world.starts() {
            let node = Node {
                state: definition.start_at.as_str().into(),
                input: exploration.inputs.share(input.clone()),
                variables: exploration.variables.share(Map::new()),
                course: exploration.courses.share(BTreeSet::new()),
                system: exploration.systems.share(system),
                again: false,
            };
            exploration.go(&|| format!("started with {input}"), node, 1, true);
        }
        while let (Some(here), false) = (exploration.waiting.pop_front(), exploration.is_over()) {
            exploration.here = Some(here);
            exploration.visit(here)?;
        }
        exploration.here = None;
        if !exploration.is_over() {
            exploration.check_ends();
            exploration.check_coverage();
        }
        exploration.report.nodes = exploration.visited.len();
        exploration.report.steps = exploration.visited.iter().map(|at| at.steps.len()).sum();
        exploration.report.took = start.elapsed();
        Ok(exploration.report)
    }
}

/// A value of a [`Pool`]. Equal values of one pool are the same one, so they are compared without looking inside.
struct Same<T>(Rc<T>);

impl<T> Clone for Same<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Deref for Same<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> PartialEq for Same<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Same<T> {}

impl<T> Hash for Same<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.0).hash(state);
    }
}

/// Values, each once.
struct Pool<T>(HashSet<Rc<T>>);

impl<T: Eq + Hash> Pool<T> {
    fn new() -> Self {
        Self(HashSet::new())
    }

    fn share(&mut self, value: impl Into<Rc<T>>) -> Same<T> {
        let value = value.into();
        if let Some(known) = self.0.get(&value) {
            return Same(Rc::clone(known));
        }
        self.0.insert(Rc::clone(&value));
        Same(value)
    }
}

/// An execution at a state.
#[derive(PartialEq, Eq, Hash)]
struct Node<S> {
    state: Rc<str>,
    input: Same<Value>,
    variables: Same<Map<String, Value>>,
    /// The states that it has left, see [`Scene::course`].
    course: Same<BTreeSet<String>>,
    system: Same<S>,
    /// Whether its task is retried after an error. One retry represents all of them.
    again: bool,
}

impl<S> Clone for Node<S> {
    fn clone(&self) -> Self {
        Self {
            state: Rc::clone(&self.state),
            input: self.input.clone(),
            variables: self.variables.clone(),
            course: self.course.clone(),
            system: self.system.clone(),
            again: self.again,
        }
    }
}

/// A step that leads away from a node.
struct Step {
    /// The next node. `None` if the path ends.
    to: Option<usize>,
    /// In how many ways.
    ways: usize,
    first_try: bool,
}

/// A node, and how it was reached first.
struct Visited<S> {
    node: Rc<Node<S>>,
    from: Option<usize>,
    /// What happened on the way to it.
    label: String,
    steps: Vec<Step>,
    /// Whether a broken property has stopped the exploration here.
    stopped: bool,
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
struct Leaving<'l, S> {
    /// What `$states` has in addition to the input.
    shown: Option<(&'static str, Value)>,
    assign: &'l Value,
    /// The input of the next state. By default it is the value in `shown`, or the input of this state.
    output: Option<&'l Value>,
    /// Its entry in the course.
    step: String,
    system: Rc<S>,
}

/// A template, the time, when the state was entered, the input and the variables of the execution, and what `$states`
/// has in addition.
type Question = (
    usize,
    Clock,
    &'static str,
    Same<Value>,
    Same<Map<String, Value>>,
    Option<(&'static str, Value)>,
);

struct Exploration<'w, W: World> {
    explorer: &'w mut Explorer,
    world: &'w W,
    definition: &'w Definition,
    until: Option<Property>,
    /// With so many nodes it is over, too.
    nodes: usize,
    inputs: Pool<Value>,
    variables: Pool<Map<String, Value>>,
    courses: Pool<BTreeSet<String>>,
    systems: Pool<W::System>,
    /// The number of each node.
    known: HashMap<Rc<Node<W::System>>, usize>,
    visited: Vec<Visited<W::System>>,
    /// The nodes that are not visited yet.
    waiting: VecDeque<usize>,
    starts: Vec<Step>,
    /// The node that is being visited.
    here: Option<usize>,
    /// The value of each template for each execution.
    filled: HashMap<Question, Result<Value, Broken>>,
    seen: BTreeSet<String>,
    report: Report,
}

impl<'w, W: World> Exploration<'w, W> {
    fn is_over(&self) -> bool {
        let mut found = self.report.violations.iter();
        let broken = |property| found.any(|violation| violation.property == property);
        self.visited.len() >= self.nodes || self.until.is_some_and(broken)
    }

    /// Notes a step from here, to a node that is to be visited if it is new.
    fn go(
        &mut self,
        label: &dyn Fn() -> String,
        node: Node<W::System>,
        ways: usize,
        first_try: bool,
    ) {
        let to = match self.known.get(&node) {
            Some(known) => *known,
            None => {
                let (node, number) = (Rc::new(node), self.visited.len());
                self.known.insert(Rc::clone(&node), number);
                self.visited.push(Visited {
                    node,
                    from: self.here,
                    label: label(),
                    steps: Vec::new(),
                    stopped: false,
                });
                self.waiting.push_back(number);
                number
            }
        };
        self.step(Some(to), ways, first_try);
    }

    fn step(&mut self, to: Option<usize>, ways: usize, first_try: bool) {
        let steps = match self.here {
            Some(here) => &mut self.visited[here].steps,
            None => &mut self.starts,
        };
        steps.push(Step {
            to,
            ways,
            first_try,
        });
    }

    /// Takes all steps from a node.
    fn visit(&mut self, number: usize) -> Result<()> {
        let node = Rc::clone(&self.visited[number].node);
        let (definition, world) = (self.definition, self.world);
        let scene = Scene {
            policy: definition.policy,
            variables: &node.variables,
            course: &node.course,
            system: &*node.system,
        };
        let entered = world.entering(&node.state, &scene);
        entered.unwrap_or_else(|problem| self.note(problem));
        self.seen.insert(node.state.to_string());
        let left = match definition.states.get(&*node.state) {
            Some(State::Task(task)) => self.task(&node, task),
            Some(State::Choice(choice)) => self.choice(&node, choice),
            Some(State::Wait(wait)) => self.wait(&node, wait),
            Some(State::Succeed(_)) => self.end(world.success(&node.state, &node.input, &scene)),
            Some(State::Fail(fail)) => self.end(world.failed(&node.state, &fail.error, &scene)),
            None => Ok(()),
        };
        self.unless_broken(left)
    }

    /// The path ends here, as it may.
    fn end(&mut self, as_meant: Result<(), Broken>) -> Result<(), Stop> {
        as_meant?;
        self.step(None, 1, true);
        Ok(())
    }

    fn task(&mut self, node: &Node<W::System>, task: &Task) -> Result<(), Stop> {
        let state = &node.state;
        let arguments = self.fill(node, None, &task.arguments, Clock::Now)?;
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
        let answers = self.world.ask(&call, &node.system)?;
        if let Some(problem) = answers.problem {
            self.note(problem);
        }
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
                    self.leave(node, leaving, task.next.as_deref(), 1, true, &label)?;
                }
                Err(error) => {
                    let treatment = self.treated(state, task, error);
                    self.fail(
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
            return Ok(());
        }
        for (treatment, half_done, names) in self.grouped(state, task, &errors) {
            let systems = std::iter::once(&node.system.0)
                .chain(answers.half_done.iter().filter(|_| half_done));
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
                self.fail(node, task, &treatment, &names, system, &label)?;
            }
        }
        Ok(())
    }

    /// Groups the errors that are no answers. Errors in a group are treated alike, and no state sees which one it was.
    fn grouped(
        &mut self,
        state: &str,
        task: &Task,
        errors: &[Error],
    ) -> Vec<(Treatment, bool, Vec<&'static str>)> {
        let apart = self.world.tells_errors_apart();
        let catcher = |error| treatment(task, error).1.map(std::ptr::from_ref);
        let mut alike: Vec<(Treatment, bool, Vec<&'static str>)> = Vec::new();
        for error in errors {
            let treated = self.treated(state, task, error.name);
            if error.definite && error.name != payment3_activities::lambda::INVALID_INPUT {
                continue;
            }
            let like_it = alike.iter_mut().find(|(other, half_done, names)| {
                *other == treated
                    && *half_done != error.definite
                    && (treated.caught_to.is_none() || !apart)
                    && catcher(names[0]) == catcher(error.name)
            });
            match like_it {
                Some((.., names)) => names.push(error.name),
                None => alike.push((treated, !error.definite, vec![error.name])),
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

    /// The steps after errors. If the errors are retried and this is the first try, the task is tried again. For the
    /// case that all retries fail, the errors are also caught, or the execution fails in place.
    fn fail(
        &mut self,
        node: &Node<W::System>,
        task: &Task,
        treated: &Treatment,
        names: &[&'static str],
        system: &Rc<W::System>,
        label: &str,
    ) -> Result<(), Stop> {
        let (state, world) = (&node.state, self.world);
        self.seen
            .extend(names.iter().map(|name| format!("{state}: {name}")));
        if treated.retried && !node.again {
            let again = Node {
                again: true,
                system: self.systems.share(Rc::clone(system)),
                ..node.clone()
            };
            let label = || format!("{state} {label}, tried again");
            self.go(&label, again, names.len(), false);
        }
        let Some(next) = &treated.caught_to else {
            let callee = task.callee();
            let failing = names
                .iter()
                .map(|name| world.failing(state, &callee, name, system));
            failing
                .filter_map(Result::err)
                .for_each(|problem| self.note_at(label, problem));
            self.step(None, names.len(), !treated.retried);
            return Ok(());
        };
        let (shown, ways) = if world.tells_errors_apart() {
            (names, 1)
        } else {
            (&names[..1], names.len())
        };
        for name in shown {
            if let Err(problem) = world.going_to(next, state, Some(name)) {
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
                system: world.caught(task, name, system),
            };
            let label = || format!("{state} {label}, caught");
            self.leave(node, leaving, Some(next), ways, !treated.retried, &label)?;
        }
        Ok(())
    }

    fn choice(&mut self, node: &Node<W::System>, choice: &Choice) -> Result<(), Stop> {
        for rule in &choice.choices {
            let mut held = [false; 2];
            for (clock, held) in [Clock::Now, Clock::Later].into_iter().zip(&mut held) {
                *held = match self.fill(node, None, &rule.condition, clock)? {
                    Value::Bool(holds) => holds,
                    other => {
                        let state = &node.state;
                        let problem =
                            format!("{state}: the condition of `{}` gives {other}", rule.comment);
                        return Ok(broken(Property::Evaluates, problem)?);
                    }
                };
            }
            // Where only the time decides, both may happen.
            if held != [false; 2] {
                self.branch(node, &rule.comment, &rule.next, rule.output.as_ref())?;
            }
            if held == [true; 2] {
                return Ok(());
            }
        }
        self.branch(node, "else", &choice.default, None)
    }

    fn branch(
        &mut self,
        node: &Node<W::System>,
        branch: &str,
        next: &str,
        output: Option<&Value>,
    ) -> Result<(), Stop> {
        let state = &node.state;
        self.seen.insert(format!("{state}: {branch}"));
        self.world.going_to(next, state, None)?;
        let leaving = Leaving {
            shown: None,
            assign: &Value::Null,
            output,
            step: state.to_string(),
            system: Rc::clone(&node.system.0),
        };
        self.leave(node, leaving, Some(next), 1, true, &|| {
            format!("{state} {branch}")
        })
    }

    fn wait(&mut self, node: &Node<W::System>, wait: &Wait) -> Result<(), Stop> {
        let seconds = self.fill(node, None, &wait.seconds, Clock::Now)?;
        let Some(seconds) = seconds.as_f64().filter(|seconds| *seconds >= 1.0) else {
            let problem = format!("{} waits for {seconds} seconds", node.state);
            return Ok(broken(Property::Evaluates, problem)?);
        };
        self.world.going_to(&wait.next, &node.state, None)?;
        for system in self.world.waited(seconds, &node.system) {
            let leaving = Leaving {
                shown: None,
                assign: &Value::Null,
                output: wait.output.as_ref(),
                step: node.state.to_string(),
                system: Rc::new(system),
            };
            let label = || format!("{} {seconds} s", node.state);
            self.leave(node, leaving, Some(&wait.next), 1, true, &label)?;
        }
        Ok(())
    }

    /// The step to the next state. Variables and output are both computed with the variables from before the state.
    fn leave(
        &mut self,
        node: &Node<W::System>,
        leaving: Leaving<'_, W::System>,
        next: Option<&str>,
        ways: usize,
        first_try: bool,
        label: &dyn Fn() -> String,
    ) -> Result<(), Stop> {
        let mut after = node.clone();
        let shown = leaving.shown.as_ref();
        if !leaving.assign.is_null() {
            let assigned = self.fill(node, shown, leaving.assign, Clock::Now)?;
            let assigned = assigned.as_object().cloned().unwrap_or_default();
            let assigned = assigned.into_iter().map(|(name, value)| {
                let value = self.world.simplified(&name, value);
                (name, value)
            });
            let mut variables = Map::clone(&node.variables);
            variables.extend(assigned);
            after.variables = self.variables.share(variables);
        }
        match (leaving.output, leaving.shown.as_ref()) {
            (Some(output), shown) => {
                let input = self.fill(node, shown, output, Clock::Now)?;
                after.input = self.inputs.share(input);
            }
            (None, Some((_, shown))) => after.input = self.inputs.share(shown.clone()),
            (None, None) => {}
        }
        if self.world.remembers_the_course() {
            let mut course = BTreeSet::clone(&node.course);
            course.insert(leaving.step);
            after.course = self.courses.share(course);
        }
        after.system = self.systems.share(leaving.system);
        after.again = false;
        match next {
            Some(next) => {
                after.state = next.into();
                self.go(label, after, ways, first_try);
            }
            None => {
                let scene = Scene {
                    policy: self.definition.policy,
                    variables: &after.variables,
                    course: &after.course,
                    system: &*after.system,
                };
                match self.world.success(&after.state, &after.input, &scene) {
                    Ok(()) => self.step(None, ways, first_try),
                    Err(problem) => self.note_at(&label(), problem),
                }
            }
        }
        Ok(())
    }

    /// Fills in a template of the definition for an execution at a state.
    fn fill(
        &mut self,
        node: &Node<W::System>,
        shown: Option<&(&'static str, Value)>,
        template: &Value,
        clock: Clock,
    ) -> Result<Value, Stop> {
        let entered = self.world.entered_at(&node.state, &node.system);
        // The definition does not move in memory while it is explored, so an address identifies a template.
        let question = (
            std::ptr::from_ref(template) as usize,
            clock,
            entered,
            node.input.clone(),
            node.variables.clone(),
            shown.cloned(),
        );
        if let Some(filled) = self.filled.get(&question) {
            return Ok(filled.clone()?);
        }
        let mut states = json!({
            "input": *node.input,
            "context": {
                "Execution": {"Name": CHARGE, "StartTime": NOW_TEXT, "RedriveCount": 0},
                "State": {"Name": *node.state, "EnteredTime": entered, "RetryCount": 0},
            },
        });
        if let Some((name, value)) = shown {
            states[*name] = value.clone();
        }
        let mut variables = Map::clone(&node.variables);
        variables.insert("states".to_owned(), states);
        let filled = self.explorer.jsonata.fill(template, &variables, clock)?;
        let filled =
            filled.map_err(|problem| (Property::Evaluates, format!("{}: {problem}", node.state)));
        self.filled.insert(question, filled.clone());
        Ok(filled?)
    }

    fn unless_broken(&mut self, left: Result<(), Stop>) -> Result<()> {
        match left {
            Ok(()) => Ok(()),
            Err(Stop::EvaluatorDied(error)) => Err(error),
            Err(Stop::Broken(problem)) => {
                self.note(problem);
                if let Some(here) = self.here {
                    self.visited[here].stopped = true;
                }
                Ok(())
            }
        }
    }

    /// Notes a property that breaks when an error ends the execution.
    fn note_at(&mut self, error: &str, problem: Broken) {
        let path = self.path_to(self.here).chain([error.to_owned()]);
        let path = path.collect();
        self.note_on(path, problem);
    }

    fn note(&mut self, problem: Broken) {
        let path = self.path_to(self.here).collect();
        self.note_on(path, problem);
    }

    fn note_on(&mut self, path: Vec<String>, (property, details): Broken) {
        let like_it = self
            .report
            .violations
            .iter()
            .filter(|other| other.property == property);
        let known = like_it.clone().any(|other| other.details == details);
        if !known && like_it.count() < SHOWN {
            self.report.violations.push(Violation {
                property,
                details,
                path,
            });
        }
    }

    /// What happened on the way to a node.
    fn path_to(&self, node: Option<usize>) -> impl Iterator<Item = String> + use<W> {
        let mut path = Vec::new();
        let mut at = node;
        while let Some(number) = at {
            let visited = &self.visited[number];
            path.push(visited.label.clone());
            at = visited.from;
        }
        path.into_iter().rev()
    }

    /// Every path ends: no loop goes on without a wait, and each loop has a way out.
    fn check_ends(&mut self) {
        let definition = self.definition;
        let waits = |node: &Node<W::System>| {
            matches!(definition.states.get(&*node.state), Some(State::Wait(_)))
        };
        match self.in_order(&|_| false) {
            Ok(order) => self.report.paths = Some(self.counted(&order)),
            Err(_) => {
                if let Err(twice) = self.in_order(&waits) {
                    let state = &self.visited[twice].node.state;
                    let problem = format!("it reaches {state} twice without a wait");
                    let path = self.path_to(Some(twice)).collect();
                    self.note_on(path, (Property::EndsWhereMeant, problem));
                }
            }
        }
        let mut before = vec![Vec::new(); self.visited.len()];
        let mut ends: Vec<usize> = Vec::new();
        for (number, visited) in self.visited.iter().enumerate() {
            for step in &visited.steps {
                match step.to {
                    Some(to) => before[to].push(number),
                    None => ends.push(number),
                }
            }
            ends.extend(visited.stopped.then_some(number));
        }
        let mut leads_out = vec![false; self.visited.len()];
        while let Some(number) = ends.pop() {
            if !std::mem::replace(&mut leads_out[number], true) {
                ends.append(&mut before[number]);
            }
        }
        // A violation elsewhere has already told why an execution has no end.
        if !self.report.violations.is_empty() {
            return;
        }
        if let Some(stuck) = leads_out.iter().position(|leads_out| !leads_out) {
            let state = &self.visited[stuck].node.state;
            let problem = format!("no way leads from {state} to an end");
            let path = self.path_to(Some(stuck)).collect();
            self.note_on(path, (Property::EndsWhereMeant, problem));
        }
    }

    /// The nodes, each after all to which it leads. Steps from nodes that are `left_out` do not count. The error is a
    /// node that leads to itself.
    fn in_order(&self, left_out: &dyn Fn(&Node<W::System>) -> bool) -> Result<Vec<usize>, usize> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.visited.len()];
        let mut order = Vec::new();
        for start in 0..self.visited.len() {
            let mut open = vec![(start, 0)];
            while let Some((number, next)) = open.pop() {
                let visited = &self.visited[number];
                if next == 0 {
                    match marks[number] {
                        Mark::Done => continue,
                        Mark::Open => return Err(number),
                        Mark::New => marks[number] = Mark::Open,
                    }
                }
                let steps = if left_out(&visited.node) {
                    &[][..]
                } else {
                    &visited.steps
                };
                match steps.get(next) {
                    Some(step) => {
                        open.push((number, next + 1));
                        open.extend(step.to.map(|to| (to, 0)));
                    }
                    None => {
                        marks[number] = Mark::Done;
                        order.push(number);
                    }
                }
            }
        }
        Ok(order)
    }

    /// The paths from the starts to the ends.
    fn counted(&self, order: &[usize]) -> Paths {
        let mut from = vec![Paths::default(); self.visited.len()];
        let sum = |from: &[Paths], steps: &[Step]| {
            let mut all = Paths::default();
            for step in steps {
                let after = step.to.map_or(
                    Paths {
                        all: 1,
                        first_try: 1,
                    },
                    |to| from[to],
                );
                all += Paths {
                    all: after.all * step.ways as u128,
                    first_try: if step.first_try {
                        after.first_try * step.ways as u128
                    } else {
                        0
                    },
                };
            }
            all
        };
        for number in order {
            from[*number] = sum(&from, &self.visited[*number].steps);
        }
        sum(&from, &self.starts)
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
        for what in missing {
            self.note((Property::EverythingIsReached, what));
        }
    }
}
