"""Makes the fixtures of tests/test_language_models.py: tiny random models, and what transformers makes of some tokens.

    pip install "w2sg_jax[parity]"
    python tests/parity/make.py

One safetensors file a model: its weights under their own names, after "weights."; token identifiers and mask of rows of
several lengths, padded on either side; "states": those of every layer, the last one before the final norm, and then the
final ones. The configuration is in the metadata.
"""

import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

HERE = Path(__file__).parent
SMALL = {"vocab_size": 24, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
LLAMA = SMALL | {"num_key_value_heads": 1, "max_position_embeddings": 64, "pad_token_id": 0}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}  # fmt: skip
GEMMA3 = LLAMA | {"num_hidden_layers": 3, "head_dim": 6, "sliding_window": 4, "query_pre_attn_scalar": 5,
                  "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
                  "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0},
                                      "sliding_attention": {"rope_type": "default", "rope_theta": 10.0}}}  # fmt: skip
BERT = SMALL | {"max_position_embeddings": 16, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

MODELS = {
    "bert": ("BertConfig", BERT | {"pad_token_id": 0}),
    "roberta": ("RobertaConfig", BERT | {"pad_token_id": 1, "type_vocab_size": 1, "hidden_act": "relu"}),
    "mpnet": ("MPNetConfig", BERT | {"pad_token_id": 1}),
    "distilbert": (
        "DistilBertConfig",
        {"vocab_size": 24, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 12, "max_position_embeddings": 16},
    ),
    "llama2": ("LlamaConfig", LLAMA | {"num_key_value_heads": 2, "rope_scaling": {"type": "linear", "factor": 2.0}}),
    "llama3": ("LlamaConfig", LLAMA | {"rope_parameters": LLAMA3, "attention_bias": True, "mlp_bias": True}),
    "mistral": ("MistralConfig", LLAMA | {"sliding_window": 3, "head_dim": 6}),
    "qwen2": ("Qwen2Config", LLAMA),
    "qwen2-window": ("Qwen2Config", LLAMA | {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
    "qwen3": ("Qwen3Config", LLAMA | {"head_dim": 6}),
    "gemma": ("GemmaConfig", LLAMA | {"head_dim": 6}),
    "gemma3": ("Gemma3TextConfig", GEMMA3),
    "gemma3-both-sides": ("Gemma3TextConfig", GEMMA3 | {"use_bidirectional_attention": True}),
    "gpt2": ("GPT2Config", {"vocab_size": 24, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16}),
    "gpt-neox": ("GPTNeoXConfig", SMALL | {"max_position_embeddings": 64, "rotary_pct": 0.5}),
    "gpt-neox-one-after-the-other": (
        "GPTNeoXConfig",
        SMALL | {"max_position_embeddings": 64, "rotary_pct": 1.0, "use_parallel_residual": False},
    ),
}
LENGTHS = (9, 5, 7)
LEFT = (False, False, True)


def main() -> None:
    for name, (config, settings) in MODELS.items():
        torch.manual_seed(0)
        config = getattr(transformers, config)(**settings, attn_implementation="eager")
        model = transformers.AutoModel.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(0.4 * torch.randn_like(parameter))
        ids, mask = tokens(config)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        arguments = {"input_ids": ids, "attention_mask": mask, "output_hidden_states": True}
        if config.model_type in ("bert", *(kind for kind in KINDS if kind not in ("roberta", "mpnet", "distilbert"))):
            arguments["position_ids"] = positions
        if config.model_type == "distilbert":  # it takes no positions: rows are padded on the right alone
            ids[2], mask[2] = ids[2].roll(-2), mask[2].roll(-2)
        before = []
        final = next((one for key, one in model.named_children() if key in ("norm", "ln_f", "final_layer_norm")), None)
        if final is not None:
            final.register_forward_pre_hook(lambda _, inputs, before=before: before.append(inputs[0]))
        with torch.no_grad():
            states = list(model(**arguments).hidden_states)
        states = [*states[:-1], before[0], states[-1]] if before else [*states, states[-1]]
        weights = {key: one.contiguous() for key, one in model.state_dict().items()}
        arrays = {f"weights.{key}": one for key, one in weights.items()}
        arrays |= {"ids": ids, "mask": mask, "states": torch.stack(states)}
        content = json.loads(config.to_json_string(use_diff=False))
        content = {key: value for key, value in content.items() if key not in ("transformers_version", "_name_or_path")}
        metadata = {"config": json.dumps(content, sort_keys=True), "transformers": transformers.__version__}
        save_file(arrays, HERE / f"{name}.safetensors", metadata)
        print(name, (HERE / f"{name}.safetensors").stat().st_size)


KINDS = ("bert", "roberta", "mpnet", "distilbert", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma3_text", "gpt2",
         "gpt_neox")  # fmt: skip


def tokens(config: transformers.PretrainedConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of several lengths, padded on either side."""
    longest = max(LENGTHS)
    padding = config.pad_token_id or 0
    ids, mask = torch.full((len(LENGTHS), longest), padding), torch.zeros(len(LENGTHS), longest, dtype=torch.int64)
    for row, (length, left) in enumerate(zip(LENGTHS, LEFT, strict=True)):
        where = slice(longest - length, longest) if left else slice(length)
        ids[row, where] = torch.randint(2, config.vocab_size, (length,))
        mask[row, where] = 1
    return ids, mask


if __name__ == "__main__":
    main()
