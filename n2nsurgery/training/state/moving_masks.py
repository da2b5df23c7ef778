"""MovingMasks: the masks of a run while a rule changes them, in whatever form the weights are trained.

What a weight keeps is held as places in its flattened entries, so a sparse layer is changed in a time of O(kept
weights). New weights start at zero, and so does what the optimizer and the average know of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from n2nsurgery.core.errors import UsageError, VerificationError
from n2nsurgery.core.names import select
from n2nsurgery.core.processes.distributed_context import DistributedContext
from n2nsurgery.masks.enforcer import MaskEnforcer
from n2nsurgery.masks.kept_values import KeptValues, kept_layers
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.masks.patterns.exchange import carried
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.dynamics import Dynamics, KeptWeight, Moment
from n2nsurgery.training.schedules import Span

_MANY = 0.3  # of all places of weights, also in skips: what gradual pruning begins with at least, where it was meant


class MovingMasks:
    """The kept places of every masked weight of `module`; `masked` holds the masks of those that it has whole.

    `masks`: those of now; `start`: how many weights were kept when the run began. `originals`: enforcers of the module
    that `module` is the sparse twin of, brought up to date by `settle`.
    """

    def __init__(  # noqa: PLR0913 - what a run has of them
        self,
        module: nn.Module,
        masked: MaskEnforcer,
        masks: Mapping[str, Tensor],
        config: DynamicsConfig,
        span: Span,
        *,
        start: int,
        seed: int,
        originals: Iterable[MaskEnforcer] = (),
    ) -> None:
        """Raises UsageError where nothing is pruned or nothing may move, UnknownNameError for a pattern of nothing."""
        self.rule: Dynamics = config.rule()
        self._module, self._masked, self.span, self._seed = module, masked, span, seed
        self._originals = tuple(originals)
        self.shapes = {name: tuple(mask.shape) for name, mask in masks.items()}
        self._layers = kept_layers(module)
        self._names = _names_of(module, self._layers)
        self._places = _places_of(masks)
        self._gradients: dict[str, Tensor] = {}
        self._start = start
        self._moving = self._taking_part(config.fixed)

    @property
    def masks(self) -> MaskSet:
        """The masks of now."""
        return MaskSet({name: _mask(self._places[name], shape) for name, shape in self.shapes.items()})

    @property
    def ends(self) -> tuple[int, int]:
        """How many weights are kept when the run begins and when it ends."""
        return self._start, self.rule.kept(self._start, self.span.steps, self.span)

    def is_final(self, step: int) -> bool:
        """Whether as many weights are kept after `step` steps as at the end of the run."""
        return self.rule.kept(self._start, step, self.span) == self.ends[1]

    def doubts(self) -> Iterator[str]:
        """What is easily asked for by mistake: a rule that is never due, and a small part of few weights."""
        (start, end), steps = self.ends, self.span.steps
        due = list(islice((step for step in range(1, steps + 1) if self.rule.is_due(step, self.span)), 2))
        if not due:
            yield f"dynamics moves nothing: no exchange is due in the {steps:,} steps of the run; lower dynamics.every"
        if end < start and len(due) == 1:
            yield (
                f"dynamics prunes {start:,} weights to {end:,} at once, after step {due[0]:,} of {steps:,}, not"
                " gradually; lower dynamics.every"
            )
        if end < start < _MANY * sum(map(math.prod, self.shapes.values())):
            yield (
                f"dynamics.final is a part of the {start:,} weights that are kept at the start: {end:,} are left at the"
                " end"
            )

    def is_due(self, step: int) -> bool:
        """Whether masks move once `step` steps are done."""
        return self.rule.is_due(step, self.span)

    def begin_gradients(self) -> None:
        """From now on sparse layers sum the gradients of all entries, where the rule needs them."""
        for name in self._moving if self.rule.needs == "gradients" else ():
            for layer in self._sharing(name):
                layer.full_gradient = torch.zeros(torch.Size(self.shapes[name]).numel())

    @torch.no_grad()
    def note_gradients(self, processes: DistributedContext) -> None:
        """Keep the gradients of all entries, where the rule needs them, before those of pruned ones are masked.

        Those that layers have summed are averaged over `processes`, as the others have been.
        """
        for name in self._moving if self.rule.needs == "gradients" else ():
            gradient = self._summed(name, processes) if name in self._layers else self._module.get_parameter(name).grad
            if gradient is not None:
                self._gradients[name] = gradient.detach().flatten().clone()

    def _summed(self, name: str, processes: DistributedContext) -> Tensor:
        layers = self._sharing(name)
        total = torch.stack([layer.full_gradient for layer in layers if layer.full_gradient is not None]).sum(0)
        for layer in layers:
            layer.full_gradient = None
        return processes.all_reduce(total) / processes.size if processes.size > 1 else total

    @torch.no_grad()
    def move(self, step: int, optimizer: Optimizer, average: dict[str, Tensor]) -> None:
        """Let the rule move the masks after `step` steps, in the weights, in the optimizer's state and in `average`.

        `average`: averaged weights by their names, in the form that the module has; empty where there are none.
        Raises VerificationError where the rule does not keep exactly its number of weights.
        """
        fixed = self._kept - sum(self._places[name].numel() for name in self._moving)
        kept = self.rule.kept(self._start, step, self.span) - fixed
        if kept < 0:
            raise UsageError(
                f"dynamics has to keep {kept + fixed:,} weights after step {step:,}, and {fixed:,} of the weights that "
                "stay as they are are kept: raise dynamics.final, or let more weights take part (dynamics.fixed)"
            )
        weights = {name: self._weight(name) for name in self._moving}
        self._gradients = {}
        moment = Moment(step=step, span=self.span, kept=kept, seed=self._seed)
        places = self.rule.places(weights, moment)
        self._require_exact(places, moment)
        self._put(places, optimizer, average)

    def load(self, masks: MaskSet) -> None:
        """Go on from the masks of a checkpoint; the weights, and what belongs to them, are loaded afterwards."""
        for name, places in _places_of(masks).items():
            for layer in self._sharing(name):
                layer.replace_places(places)
            self._places[name] = places
        self._masked.replace(MaskSet({name: masks[name] for name in self._masked.masks}))
        self.settle()

    def settle(self) -> None:
        """Bring the masks of the module that is trained by its twin up to date."""
        if self._originals:
            masks = self.masks
            for enforcer in self._originals:
                enforcer.replace(masks)

    @property
    def _kept(self) -> int:
        return sum(places.numel() for places in self._places.values())

    def _taking_part(self, fixed: Iterable[str]) -> tuple[str, ...]:
        """The weights whose masks may move: those that are trained, and are not `fixed` by a pattern."""
        stay = {name for pattern in fixed for name in select(pattern, list(self._places), kind="weight")}
        found = tuple(name for name in self._places if name not in stay and self._parameter(name).requires_grad)
        if not found:
            raise UsageError(
                "is given, and no pruned weight takes part: prune the model first (density 1 will do for gmp), or let "
                "fewer be fixed or frozen",
                field="dynamics",
                joint=" ",
            )
        return found

    def _parameter(self, name: str) -> nn.Parameter:
        """What is trained of the weight `name`: itself, or the kept values."""
        return self._layers[name].values if name in self._layers else self._module.get_parameter(name)

    def _weight(self, name: str) -> KeptWeight:
        parameter, places = self._parameter(name).detach(), self._places[name]
        numel = torch.Size(self.shapes[name]).numel()
        whole = name not in self._layers
        values = parameter.flatten()[places.to(parameter.device)].cpu() if whole else parameter
        gradient = self._gradients.get(name)
        if self.rule.needs == "gradients" and gradient is None:
            gradient = torch.zeros(numel)
        if gradient is not None:
            gradient = gradient.cpu().nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        return KeptWeight(places=places, values=values, numel=numel, gradient=gradient)

    def _require_exact(self, places: Mapping[str, Tensor], moment: Moment) -> None:
        for name in self._moving:
            found = places[name]
            if found.numel() and not bool((found[1:] > found[:-1]).all()):
                raise VerificationError(f"{type(self.rule).__name__} keeps places of '{name}' that do not ascend")
        kept = sum(places[name].numel() for name in self._moving)
        if kept != moment.kept:
            raise VerificationError(
                f"{type(self.rule).__name__} keeps {kept:,} weights after step {moment.step:,}, and its own number is "
                f"{moment.kept:,}"
            )

    def _put(self, places: Mapping[str, Tensor], optimizer: Optimizer, average: dict[str, Tensor]) -> None:
        for name in self._moving:
            former, self._places[name] = self._places[name], places[name]
            if name in self._layers:
                self._put_values(name, former, optimizer, average)
        whole = MaskSet({name: _mask(self._places[name], self.shapes[name]) for name in self._masked.masks})
        self._masked.replace(whole)
        self._masked.clear(optimizer)
        for name, mask in whole.items():
            for each in self._names[name] if average else ():
                average[each].masked_fill_(~mask.to(average[each].device), 0)

    def _put_values(self, name: str, former: Tensor, optimizer: Optimizer, average: dict[str, Tensor]) -> None:
        """The same for a layer that holds kept values alone."""
        places, parameter = self._places[name], self._parameter(name)
        state = optimizer.state.get(parameter, {})
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[key] = carried(value, former, places)
        for each in self._names[name] if average else ():
            average[each] = carried(average[each], former, places)
        fresh = carried(parameter.detach(), former, places)
        for layer in self._sharing(name):
            layer.replace_places(places, fresh)

    def _sharing(self, name: str) -> list[KeptValues]:
        """The layers that hold the values of this weight alone, each once."""
        layers = [self._layers[each] for each in self._names[name] if each in self._layers]
        return list(dict.fromkeys(layers))


def _names_of(module: nn.Module, layers: Mapping[str, KeptValues]) -> dict[str, list[str]]:
    """Every name that a state_dict has for the weight of a name, for a weight may be used in several places."""
    values = {id(layer.values) for layer in layers.values()}
    whole = module.named_parameters(remove_duplicate=False)
    trained = {name: parameter for name, parameter in whole if id(parameter) not in values}
    trained |= {name: layer.values for name, layer in layers.items()}
    names: dict[int, list[str]] = {}
    for name, parameter in trained.items():
        names.setdefault(id(parameter), []).append(name)
    return {name: names[id(parameter)] for name, parameter in trained.items()}


def _places_of(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: mask.cpu().flatten().nonzero()[:, 0] for name, mask in masks.items()}


def _mask(places: Tensor, shape: tuple[int, ...]) -> Tensor:
    mask = torch.zeros(torch.Size(shape).numel(), dtype=torch.bool)
    mask[places] = True
    return mask.reshape(shape)
