import type { Problem } from "./urls";

/*
 * The formats of settings. Each function returns what is wrong, as the end of a sentence that begins with the text.
 */

const UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";

/** A merchant id of the bank: 15 digits. */
export function merchantIdProblem(text: string): Problem {
  return /^[0-9]{15}$/.test(text) ? undefined : "is not a merchant id of 15 digits";
}

/** A table's name as DynamoDB allows it. */
export function tableNameProblem(text: string): Problem {
  return /^[A-Za-z0-9_.-]{3,255}$/.test(text) ? undefined : "is not the name of a DynamoDB table";
}

/** The number of an AWS account. */
export function accountProblem(text: string): Problem {
  return /^[0-9]{12}$/.test(text) ? undefined : "is not the number of an AWS account, 12 digits";
}

/** The name of a region. Whether there is such a region shows when it is called. */
export function regionProblem(text: string): Problem {
  return /^[a-z]{2,}(?:-[a-z]+)+-[0-9]+$/.test(text) ? undefined : "is not the name of an AWS region";
}

/** An e-mail address. Whether it exists shows when its owner confirms the subscription. */
export function emailProblem(text: string): Problem {
  return /^[^\s@,]+@[^\s@,]+\.[^\s@,]+$/.test(text) ? undefined : "is not an e-mail address";
}

/** A lower-case host name with at least two labels. */
export function domainProblem(text: string): Problem {
  const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
  return text.length <= 253 && new RegExp(`^(?:${label}\\.)+${label}$`).test(text) && !/^[0-9.]+$/.test(text)
    ? undefined
    : "is not a lower-case domain name such as pay.shop.example";
}

/** The ARN of a certificate in AWS Certificate Manager, in the given region or in any. */
export function certificateProblem(text: string, region = "[a-z0-9-]+"): Problem {
  return new RegExp(`^arn:aws[a-z-]*:acm:${region}:[0-9]{12}:certificate/${UUID}$`).test(text)
    ? undefined
    : `is not the ARN of a certificate${region.startsWith("[") ? "" : ` in ${region}`}`;
}

/** The ARN of a KMS key. No alias: it could be moved to another key without a deployment. */
export function keyProblem(text: string): Problem {
  return new RegExp(`^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/(?:mrk-[0-9a-f]{32}|${UUID})$`).test(text) ? undefined : "is not the ARN of a KMS key";
}
