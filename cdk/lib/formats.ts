import type { Problem } from "./urls";

/*
 * What texts of settings must look like. Each says what is wrong, for a sentence that begins with the text.
 */

const UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";

/** 15 digits, as the bank counts its merchant accounts. */
export function merchantIdProblem(text: string): Problem {
  return /^[0-9]{15}$/.test(text) ? undefined : "is not a merchant id of 15 digits";
}

/** A table's name as DynamoDB allows it. */
export function tableNameProblem(text: string): Problem {
  return /^[A-Za-z0-9_.-]{3,255}$/.test(text) ? undefined : "is not the name of a DynamoDB table";
}

/** An address that mail can be sent to. That it exists is found out when its owner confirms it. */
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

/** The ARN of a KMS key; an alias could be pointed at another key behind the deployment's back. */
export function keyProblem(text: string): Problem {
  return new RegExp(`^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/(?:mrk-[0-9a-f]{32}|${UUID})$`).test(text) ? undefined : "is not the ARN of a KMS key";
}
