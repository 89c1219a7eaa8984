"""The training loss of a network as one function of one vector, with its gradient.

All parameters are views of one flat vector and all gradients views of another, so that a step and
a norm are a few operations on one tensor, whatever the network.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from adambias.config import Trial
from adambias.core.errors import ConfigError
from adambias.core.registry import LOSSES
from adambias.data.dataset import Dataset
from adambias.networks.batchnorm import (
    BlockBatchNorm,
    PopulationStatistics,
    remember_blocks,
    twice_differentiable,
)
from adambias.networks.build import build
from adambias.networks.losses import OfOutputs, accuracy_of
from adambias.training import allocator
from adambias.training.graph import Replay
from adambias.training.precision import profile

logger = logging.getLogger("adambias")
EVALUATION_BLOCK = 500
RUNNING_MOMENTUM = 0.1


class FlatParameters:
    """The parameters of a network as views of one vector, and their gradients of another.

    Parameters
    ----------
    model : nn.Module
        The network, on its device. Its parameters are moved into the vector, each in its own
        memory format.

    Attributes
    ----------
    theta : nn.Parameter, shape (p,)
        All parameters; its ``grad`` holds all gradients.
    """

    def __init__(self, model: nn.Module) -> None:
        # Shared ones once: tied weights are one parameter under two names.
        self._named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        first = next(iter(self._named.values()))
        total = sum(p.numel() for p in self._named.values())
        self.theta = nn.Parameter(torch.empty(total, device=first.device, dtype=first.dtype))
        self.grad = torch.zeros_like(self.theta)
        self.theta.grad = self.grad
        self._layout = {name: (p.shape, p.stride()) for name, p in self._named.items()}
        # The gradients get a place too: autograd adds into it, so that no copy is made per block.
        vector = self.theta.data
        for (name, p), home, grad in zip(
            self._named.items(), self.views(vector), self.views(self.grad), strict=True
        ):
            home.copy_(p.data)
            self._named[name].data = home
            p.grad = grad

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each parameter, in their order."""
        return tuple(tuple(shape) for shape, _ in self._layout.values())

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that are trained."""
        return list(self._named.values())

    def views(self, vector: Tensor) -> Iterator[Tensor]:
        """Yield the part of a vector that belongs to each parameter, in its shape."""
        start = 0
        for shape, stride in self._layout.values():
            # With the parameter's own strides: convolutions keep their channels last.
            yield vector.as_strided(shape, stride, vector.storage_offset() + start)
            start += shape.numel()

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Return a copy of a vector on the CPU, by parameter, each in the usual memory format."""
        views = zip(self._named, self.views(vector.detach()), strict=True)
        return {name: view.to("cpu", copy=True).contiguous() for name, view in views}

    @torch.no_grad()
    def join(self, vector: Tensor, parts: dict[str, Tensor]) -> None:
        """Fill a vector from its parts, the inverse of :meth:`split`."""
        for name, view in zip(self._named, self.views(vector), strict=True):
            view.copy_(parts[name])


class Objective:
    """Loss, gradient and evaluation of a trial's network on its data.

    Parameters
    ----------
    trial : Trial
        What to train; its seed determines the initial weights, on every device alike.
    data : Dataset
        Training and test inputs, with their targets.
    device : torch.device
        Where network and data live.

    Attributes
    ----------
    accuracy : callable or None
        What counts right answers; None where loss and targets know none.
    """

    def __init__(self, trial: Trial, data: Dataset, device: torch.device) -> None:
        if device.type == "cpu":
            allocator.keep_freed_memory()
        self.device = device
        self.precision = profile(trial.precision)
        self.data = data.to(device, numbers=self.precision.dtype)
        # Kept on the device, so that no block waits for the host.
        self._mean, self._std = data.scales(device, self.precision.dtype)
        self._tokens = data.vocabulary is not None
        self._loss_of = _loss_of(trial)
        self.accuracy = accuracy_of(self._loss_of, data.train_targets)
        self._nothing = torch.full((), math.nan, device=device)
        self.size = len(data.train_targets)
        model = _network(trial, data)
        self.block_size = _block_size(trial, self.size, model)
        # Channels last is the faster layout on the CPU at every size, and with bf16 on CUDA.
        images = len(data.input_shape) == 3
        self._format = torch.channels_last if images else torch.contiguous_format
        model = model.to(device, self.precision.dtype)
        self.model = model.to(memory_format=torch.channels_last) if images else model
        self._exact = trial.bn_statistics == "exact"
        self._statistics = PopulationStatistics(self.model) if self._exact else None
        self.flat = FlatParameters(self.model)
        self._replay: Replay | None = None
        self._refuse_misfit(trial)

    @torch.no_grad()
    def _refuse_misfit(self, trial: Trial) -> None:
        """Try network and loss on two inputs, so that what does not fit is told in a line."""
        count = min(2, self.size)
        inputs = self._standardised(self.data.train_inputs[:count])
        targets = self.data.train_targets[:count]
        self.model.eval()
        try:
            with self.precision.network(self.device):
                outputs = self.model(inputs)
        except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
            allowed = f"fails on inputs of shape {tuple(inputs.shape)}: {_first_line(error)}"
            raise ConfigError("model", trial.model, allowed) from None
        if not isinstance(outputs, Tensor) or len(outputs) != count:
            shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            allowed = f"must return a tensor with a row for each of {count} inputs, not {shape}"
            raise ConfigError("model", trial.model, allowed)
        try:
            loss = self._loss_of(outputs.to(self.precision.dtype), targets)
        except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
            shapes = f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)}"
            allowed = f"fails on {shapes} of {targets.dtype}: {_first_line(error)}"
            raise ConfigError("loss", trial.loss, allowed) from None
        if not isinstance(loss, Tensor) or loss.ndim:
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            allowed = f"must give one number, the sum over a block's inputs, not {shape}"
            raise ConfigError("loss", trial.loss, allowed)

    @property
    def theta(self) -> nn.Parameter:
        """All parameters, shape (p,)."""
        return self.flat.theta

    @property
    def parameters(self) -> int:
        """The number of parameters p."""
        return self.flat.theta.numel()

    def gradient(self, order: Tensor | None = None) -> Tensor:
        """Set ``theta.grad`` to the gradient of the mean loss, block by block.

        Parameters
        ----------
        order : Tensor, shape (n,), int64, optional
            Positions of the training images to use, in this order; all, as stored, if not given.

        Returns
        -------
        Tensor, shape (2,), float64
            Mean loss and accuracy over these images, on the device.
        """
        if order is None and self._replay is not None:
            return self._replay()
        return self._gradient(order)

    def record(self) -> None:
        """Let the gradient over all images be one CUDA graph from now on; without CUDA, do nothing.

        Only one that gives the very same numbers is used. Otherwise blocks go on to be computed one
        by one, and the log says why.
        """
        if self.device.type == "cuda":
            self._record()

    def _record(self) -> None:
        with self.buffers_kept():
            expected = [self._gradient(None), self.flat.grad.clone()]
        try:
            replay = Replay(lambda: self._gradient(None), self.buffers_kept)
        except RuntimeError as error:
            logger.warning("trained without a CUDA graph: %s", _first_line(error))
            return
        with self.buffers_kept():
            found = [replay(), self.flat.grad]
        if all(torch.equal(*pair) for pair in zip(expected, found, strict=True)):
            self._replay = replay
        else:
            logger.warning("trained without a CUDA graph, whose gradient is not quite the same")

    def _gradient(self, order: Tensor | None) -> Tensor:
        self.model.train()
        self.flat.grad.zero_()
        if self._statistics:
            self._statistics.reset()
        # Totals stay on the device: reading a number of each block would wait for it.
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        for inputs, targets in self._training_blocks(order):
            loss, correct = self._loss(inputs, targets)
            loss.backward()
            totals += torch.stack([loss.detach().double(), correct.double()])
            if self._statistics:
                self._statistics.add(len(targets))
        # Blocks give summed losses, so that one division makes the mean, with a smaller last block
        # too.
        count = self.size if order is None else len(order)
        self.flat.grad.div_(count)
        if self._statistics:
            self._statistics.store()
        return totals / count

    @torch.no_grad()
    def gradient_at(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy, and the gradient, at other weights; everything stays as it is.

        Parameters
        ----------
        place : Tensor, shape (p,)
            The weights.

        Returns
        -------
        fit : Tensor, shape (2,), float64
            Mean loss and accuracy over all training images.
        gradient : Tensor, shape (p,)
            Of the mean loss.
        """
        theta, grad = self.theta.detach().clone(), self.flat.grad.clone()
        with self.buffers_kept():
            self.theta.data.copy_(place)
            with torch.enable_grad():
                fit = self.gradient()
            found = self.flat.grad.clone()
        self.theta.data.copy_(theta)
        self.flat.grad.copy_(grad)
        return fit, found

    @torch.no_grad()
    def evaluate(self) -> Tensor:
        """Return mean loss and accuracy on the test inputs, shape (2,), on the device.

        BatchNorm uses what the last :meth:`gradient` left: the exact statistics of the training
        images at its theta, or running averages.
        """
        self.model.eval()
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        inputs, targets = self.data.test_inputs, self.data.test_targets
        for block in zip(
            inputs.split(EVALUATION_BLOCK), targets.split(EVALUATION_BLOCK), strict=True
        ):
            loss, correct = self._loss(self._standardised(block[0]), block[1])
            totals += torch.stack([loss.double(), correct.double()])
        return totals / len(targets)

    def hessian_vector_product(self, vector: Tensor) -> Tensor:
        """Return the Hessian of the mean loss over all training images times a vector, shape (p,).

        Evaluated at theta by differentiating each block's gradient; buffers and ``theta.grad``
        stay as they are.
        """
        return self.hessian(once=True)(vector)

    def hessian(self, *, once: bool = False) -> Callable[[Tensor], Tensor]:
        """Return the product with the Hessian at theta, for several vectors at the same weights.

        Where all images are one block the graph of the gradient is made once and kept with the
        function, which makes each further product cheaper by a third. All blocks' at once would not
        fit the memory.

        Parameters
        ----------
        once : bool, optional
            For a single product, which frees the graph on its way.
        """
        parameters = self.flat.parameters
        alone = self.size <= self.block_size and not once
        slopes = list(self._slopes(parameters)) if alone else None

        def product(vector: Tensor) -> Tensor:
            direction = list(self.flat.views(vector))
            found = torch.zeros_like(vector)
            parts = list(self.flat.views(found))
            for grads in slopes or self._slopes(parameters):
                # A scalar: torch loads its symbolic algebra before a product with a cotangent.
                along = torch.stack([(g * d).sum() for g, d in zip(grads, direction, strict=True)])
                columns = torch.autograd.grad(
                    along.sum(), parameters, retain_graph=alone, materialize_grads=True
                )
                torch._foreach_add_(parts, columns)
            return found.div_(self.size)

        return product

    def _slopes(self, parameters: list[nn.Parameter]) -> Iterator[tuple[Tensor, ...]]:
        """Yield each block's gradient of the summed loss, with its graph."""
        self.model.train()
        # Of torch's attention kernels only this one has a second derivative.
        with (
            self._copies_of_buffers(),
            twice_differentiable(self.model),
            sdpa_kernel(SDPBackend.MATH),
        ):
            for inputs, targets in self._training_blocks(None):
                loss, _ = self._loss(inputs, targets)
                yield torch.autograd.grad(
                    loss, parameters, create_graph=True, materialize_grads=True
                )

    @contextmanager
    def _copies_of_buffers(self) -> Iterator[None]:
        """Run passes on copies of the buffers, which a graph that is kept may go on to hold."""
        places = [
            (module, name, buffer)
            for module in self.model.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]
        # Others put in their place: values put back would be a change that autograd refuses.
        for module, name, buffer in places:
            setattr(module, name, buffer.clone())
        yield
        for module, name, buffer in places:
            setattr(module, name, buffer)

    @contextmanager
    def buffers_kept(self) -> Iterator[None]:
        """Run passes that leave BatchNorm's buffers as they were, for the evaluation to come."""
        kept = [buffer.clone() for buffer in self.model.buffers()]
        yield
        for buffer, value in zip(self.model.buffers(), kept, strict=True):
            buffer.copy_(value)

    def _loss(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed loss and the number of right answers, NaN where there are none."""
        with self.precision.network(self.device):
            outputs = self.model(inputs)
        # Under autocast outputs are bfloat16, whose 8 bits would round the loss.
        outputs = outputs.to(self.precision.dtype)
        loss = self._loss_of(outputs, targets)
        right = self.accuracy(outputs.detach(), targets) if self.accuracy else self._nothing
        return loss, right

    def _training_blocks(self, order: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, targets = self.data.train_inputs, self.data.train_targets
        for start in range(0, self.size if order is None else len(order), self.block_size):
            span = slice(start, start + self.block_size)
            chosen = span if order is None else order[span]
            yield self._standardised(inputs[chosen]), targets[chosen]

    def _standardised(self, inputs: Tensor) -> Tensor:
        if self._tokens:
            return inputs
        # Of the block only: the data stay as they are stored, a quarter of the memory.
        inputs = torch.sub(inputs.to(self.precision.dtype), self._mean).div_(self._std)
        return inputs.contiguous(memory_format=self._format)


def _loss_of(trial: Trial) -> OfOutputs:
    loss: OfOutputs = LOSSES.make(trial.loss, options=trial.loss_options, key="loss_options")
    if not callable(loss):
        raise ConfigError("loss", trial.loss, f"{LOSSES.must}, not {type(loss).__name__}")
    return loss


def _network(trial: Trial, data: Dataset) -> nn.Module:
    model = build(
        trial.model,
        input_shape=data.input_shape,
        outputs=data.outputs,
        vocabulary=data.vocabulary,
        norm=trial.norm,
        activation=trial.activation,
        options=trial.model_options,
        seed=trial.seed,
    )
    if trial.bn_statistics == "exact":
        remember_blocks(trial.model, model)
    # Exact statistics set it to 1 afterwards.
    for module in model.modules():
        if isinstance(module, BlockBatchNorm):
            module.momentum = RUNNING_MOMENTUM
    return model


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _block_size(trial: Trial, size: int, model: nn.Module) -> int:
    """Return the inputs in a block; refuse a last block of one, which has no variance."""
    for key in ("batch_size", "ghost_batch_size"):
        asked = getattr(trial, key)
        if asked is not None and asked > size:
            allowed = f"must be at most {size}, the inputs there are: it would train the full batch"
            raise ConfigError(key, asked, f"{allowed} under another key")
    batch = trial.batch_size or size
    block = min(trial.ghost_batch_size or batch, batch)
    # The last block of the full batch, of a mini-batch, and of the last mini-batch.
    lone = any((count % block) == 1 or block == 1 for count in {batch, size % batch or batch, size})
    over_block = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    if over_block and lone:
        key = "ghost_batch_size" if trial.ghost_batch_size else "batch_size"
        raise ConfigError(key, block, "leaves a block of one input, over which BatchNorm fails")
    return block
