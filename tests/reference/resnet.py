"""ResNet, ResNeXt and ResNet with dilation: golden cases of models/resnet.sy and key lists, from the published descriptions, with the
names of torchvision."""
import torch
from torch import nn
from torch.nn import functional as F

from common import Cases, write_keys


def conv(inputs, out, side, stride=1, dilation=1, groups=1):
    return nn.Conv2d(inputs, out, side, stride, dilation * (side // 2), dilation, groups, bias=False)


class Residual(nn.Module):
    def __init__(self, c, inputs, n, stride, dilation, widened):
        super().__init__()
        out, self.bottleneck = 4 * n if c["bottleneck"] else n, c["bottleneck"]
        if self.bottleneck:
            inner = n * c["width"] // 64 * c["groups"]
            self.conv1, self.bn1 = conv(inputs, inner, 1), nn.BatchNorm2d(inner, c["eps"])
            self.conv2, self.bn2 = conv(inner, inner, 3, stride, dilation, c["groups"]), nn.BatchNorm2d(inner, c["eps"])
            self.conv3, self.bn3 = conv(inner, out, 1), nn.BatchNorm2d(out, c["eps"])
        else:
            self.conv1, self.bn1 = conv(inputs, n, 3, stride), nn.BatchNorm2d(n, c["eps"])
            self.conv2, self.bn2 = conv(n, n, 3), nn.BatchNorm2d(n, c["eps"])
        self.downsample = nn.Sequential(conv(inputs, out, 1, stride), nn.BatchNorm2d(out, c["eps"])) if widened else None

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        if self.bottleneck:
            h = self.bn3(self.conv3(F.relu(h)))
        return F.relu((self.downsample(x) if self.downsample else x) + h)


class ResNet(nn.Module):
    def __init__(self, c):
        super().__init__()
        c = dict({"first": 3, "second": 4, "third": 6, "fourth": 3, "bottleneck": True, "groups": 1, "width": 64, "dilated": False,
                  "base": 64, "classes": 1000, "eps": 1e-5}, **c)
        channels, wide = c["base"], 1
        self.conv1, self.bn1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False), nn.BatchNorm2d(channels, c["eps"])
        for s, depth in enumerate((c["first"], c["second"], c["third"], c["fourth"])):
            n, stride, before, blocks = c["base"] * 2**s, 2 if s else 1, wide, []
            if c["dilated"] and s > 1:
                wide, stride = wide * stride, 1
            out = 4 * n if c["bottleneck"] else n
            for i in range(depth):
                widened = i == 0 and (stride > 1 or channels != out)
                blocks.append(Residual(c, channels, n, 1 if i else stride, wide if i else before, widened))
                channels = out
            setattr(self, "layer%d" % (s + 1), nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, c["classes"])

    def forward(self, image):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(image))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def features(model, x):
    y = model(x["image"])
    return {"map": y.permute(0, 2, 3, 1), "image_features": y.mean((2, 3))}


def classify(model, x):
    return {"logits": model.fc(model(x["image"]).mean((2, 3)))}


def write_set(name, sizes, seed):
    cases = Cases(name, ResNet(sizes), sizes, seed, page="resnet")
    image = {"image": torch.randn(2, 3, sizes["size"], sizes["size"], generator=torch.Generator().manual_seed(seed + 1))}
    cases.add("features", "features", image, features)
    cases.add("classify", "classify", image, classify)
    for case in cases.cases:
        case["entry"] = "resnet"
    cases.write()


TINY = {"size": 40, "first": 1, "second": 2, "third": 1, "fourth": 2, "base": 4, "classes": 10, "eps": 1e-3}

if __name__ == "__main__":
    write_set("resnet", dict(TINY, bottleneck=False), 101)
    write_set("resnet_groups", dict(TINY, first=1, second=1, groups=4, width=32, dilated=True), 102)
    for part in (nn.Linear, nn.Conv2d):
        part.reset_parameters = lambda self: None
    write_keys("resnet50", "torchvision resnet50", ResNet({}))
    write_keys("resnext50_32x4d", "torchvision resnext50_32x4d", ResNet({"groups": 32, "width": 4}))
