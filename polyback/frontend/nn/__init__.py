"""Layers, losses and initial values; see :mod:`polyback.frontend.nn.module` for the rules."""
# ruff: noqa: I001  (one block a file)

from polyback.frontend.nn import (
    init as init,
)
from polyback.frontend.nn.activation import (
    ELU as ELU,
    GELU as GELU,
    Hardsigmoid as Hardsigmoid,
    Hardswish as Hardswish,
    Hardtanh as Hardtanh,
    LeakyReLU as LeakyReLU,
    LogSigmoid as LogSigmoid,
    LogSoftmax as LogSoftmax,
    Mish as Mish,
    ReLU as ReLU,
    ReLU6 as ReLU6,
    SELU as SELU,
    Sigmoid as Sigmoid,
    SiLU as SiLU,
    Softmax as Softmax,
    Softplus as Softplus,
    Softsign as Softsign,
    Tanh as Tanh,
)
from polyback.frontend.nn.adaptive_pooling import (
    adaptive_avg_pool1d as adaptive_avg_pool1d,
    adaptive_avg_pool2d as adaptive_avg_pool2d,
    adaptive_max_pool1d as adaptive_max_pool1d,
    adaptive_max_pool2d as adaptive_max_pool2d,
    AdaptiveAvgPool1d as AdaptiveAvgPool1d,
    AdaptiveAvgPool2d as AdaptiveAvgPool2d,
    AdaptiveMaxPool1d as AdaptiveMaxPool1d,
    AdaptiveMaxPool2d as AdaptiveMaxPool2d,
)
from polyback.frontend.nn.attention import (
    causal_mask as causal_mask,
    MultiheadAttention as MultiheadAttention,
    scaled_dot_product_attention as scaled_dot_product_attention,
)
from polyback.frontend.nn.batch_norm import (
    BatchNorm1d as BatchNorm1d,
    BatchNorm2d as BatchNorm2d,
)
from polyback.frontend.nn.container import (
    ModuleDict as ModuleDict,
    ModuleList as ModuleList,
    Residual as Residual,
    Sequential as Sequential,
)
from polyback.frontend.nn.convolution import (
    conv1d as conv1d,
    conv2d as conv2d,
    conv_transpose1d as conv_transpose1d,
    conv_transpose2d as conv_transpose2d,
)
from polyback.frontend.nn.convolution_layers import (
    Conv1d as Conv1d,
    Conv2d as Conv2d,
    ConvTranspose1d as ConvTranspose1d,
    ConvTranspose2d as ConvTranspose2d,
)
from polyback.frontend.nn.dropout import (
    Dropout as Dropout,
    dropout as dropout,
    Dropout1d as Dropout1d,
    dropout1d as dropout1d,
    Dropout2d as Dropout2d,
    dropout2d as dropout2d,
)
from polyback.frontend.nn.embedding import (
    Embedding as Embedding,
    embedding as embedding,
)
from polyback.frontend.nn.gan import (
    GANLoss as GANLoss,
)
from polyback.frontend.nn.gating import (
    glu as glu,
    GLU as GLU,
    prelu as prelu,
    PReLU as PReLU,
)
from polyback.frontend.nn.hooks import (
    Handle as Handle,
)
from polyback.frontend.nn.instance_norm import (
    InstanceNorm1d as InstanceNorm1d,
    InstanceNorm2d as InstanceNorm2d,
)
from polyback.frontend.nn.linear import (
    Bilinear as Bilinear,
    Linear as Linear,
    linear as linear,
)
from polyback.frontend.nn.loss import (
    huber_loss as huber_loss,
    HuberLoss as HuberLoss,
    l1_loss as l1_loss,
    L1Loss as L1Loss,
    mse_loss as mse_loss,
    MSELoss as MSELoss,
    smooth_l1_loss as smooth_l1_loss,
    SmoothL1Loss as SmoothL1Loss,
)
from polyback.frontend.nn.loss_classes import (
    cross_entropy as cross_entropy,
    CrossEntropyLoss as CrossEntropyLoss,
    nll_loss as nll_loss,
    NLLLoss as NLLLoss,
)
from polyback.frontend.nn.loss_distance import (
    CosineEmbeddingLoss as CosineEmbeddingLoss,
    cosine_embedding_loss as cosine_embedding_loss,
    CosineSimilarity as CosineSimilarity,
    cosine_similarity as cosine_similarity,
    MarginRankingLoss as MarginRankingLoss,
    margin_ranking_loss as margin_ranking_loss,
    normalize as normalize,
    TripletMarginLoss as TripletMarginLoss,
    triplet_margin_loss as triplet_margin_loss,
)
from polyback.frontend.nn.loss_probability import (
    BCELoss as BCELoss,
    BCEWithLogitsLoss as BCEWithLogitsLoss,
    binary_cross_entropy as binary_cross_entropy,
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
    kl_div as kl_div,
    KLDivLoss as KLDivLoss,
)
from polyback.frontend.nn.module import (
    LoadResult as LoadResult,
    Module as Module,
    Parameter as Parameter,
)
from polyback.frontend.nn.normalization import (
    group_norm as group_norm,
    layer_norm as layer_norm,
    rms_norm as rms_norm,
)
from polyback.frontend.nn.normalization_layers import (
    GroupNorm as GroupNorm,
    LayerNorm as LayerNorm,
    RMSNorm as RMSNorm,
)
from polyback.frontend.nn.packed import (
    pack_padded_sequence as pack_padded_sequence,
    pack_sequence as pack_sequence,
    PackedSequence as PackedSequence,
    pad_packed_sequence as pad_packed_sequence,
    pad_sequence as pad_sequence,
)
from polyback.frontend.nn.padding import (
    pad as pad,
    ReflectionPad2d as ReflectionPad2d,
    ReplicationPad2d as ReplicationPad2d,
    ZeroPad2d as ZeroPad2d,
)
from polyback.frontend.nn.parameters import (
    ParameterDict as ParameterDict,
    ParameterList as ParameterList,
)
from polyback.frontend.nn.pooling import (
    avg_pool1d as avg_pool1d,
    avg_pool2d as avg_pool2d,
    max_pool1d as max_pool1d,
    max_pool2d as max_pool2d,
)
from polyback.frontend.nn.pooling_layers import (
    AvgPool1d as AvgPool1d,
    AvgPool2d as AvgPool2d,
    MaxPool1d as MaxPool1d,
    MaxPool2d as MaxPool2d,
)
from polyback.frontend.nn.positional import (
    LearnedPositionalEncoding as LearnedPositionalEncoding,
    PositionalEncoding as PositionalEncoding,
    sinusoidal_encoding as sinusoidal_encoding,
)
from polyback.frontend.nn.recurrent import (
    GRU as GRU,
    LSTM as LSTM,
    RNN as RNN,
)
from polyback.frontend.nn.recurrent_cell import (
    GRUCell as GRUCell,
    LSTMCell as LSTMCell,
    RNNCell as RNNCell,
)
from polyback.frontend.nn.resizing import (
    interpolate as interpolate,
    Upsample as Upsample,
)
from polyback.frontend.nn.shape import (
    Flatten as Flatten,
    Identity as Identity,
    PixelShuffle as PixelShuffle,
    pixel_shuffle as pixel_shuffle,
    PixelUnshuffle as PixelUnshuffle,
    pixel_unshuffle as pixel_unshuffle,
    Unflatten as Unflatten,
)
from polyback.frontend.nn.stateless import (
    functional_call as functional_call,
)
from polyback.frontend.nn.summary import (
    summary as summary,
)
from polyback.frontend.nn.transformer import (
    Transformer as Transformer,
    TransformerDecoder as TransformerDecoder,
    TransformerDecoderLayer as TransformerDecoderLayer,
    TransformerEncoder as TransformerEncoder,
    TransformerEncoderLayer as TransformerEncoderLayer,
)
from polyback.frontend.nn.unfolding import (
    fold as fold,
    Fold as Fold,
    unfold as unfold,
    Unfold as Unfold,
)
from polyback.frontend.recompute import (
    checkpoint as checkpoint,
    checkpoint_sequential as checkpoint_sequential,
)

__all__ = [name for name, value in vars().items() if callable(value) or value is init]


def __getattr__(name: str) -> object:
    """Raises AttributeError, and says where a function is that other libraries have here."""
    from polyback.frontend import functions

    hint = f"; want polyback.{name}" if name in functions.__all__ else ""
    if name == "functional":
        hint = "; functions are here (nn.cross_entropy) and in polyback itself (polyback.relu)"
    raise AttributeError(f"module 'polyback.nn' has no attribute {name!r}{hint}")
